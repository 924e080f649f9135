"""Prints what the bits of the results may depend on, as JSON.

`make repro` keeps it in reports/platform.json beside the tables: where a machine prints the same,
it must reproduce the committed tables to the byte, elsewhere within the spread of the seeds.
"""

import json

from amid.reproducible import platform_fingerprint

if __name__ == "__main__":
    print(json.dumps({"platform": platform_fingerprint()}))

"""Licences of pinned packages, by what the installed ones say of themselves:

python -m tests.licences        # the table of docs/licences.md

"""

from __future__ import annotations

import re
from collections import defaultdict
from importlib import metadata

from packaging.utils import canonicalize_name

from tests.small import ROOT

LISTS = ("constraints.txt", "requirements-paper.txt", "requirements-dev.txt")
# SPDX's names for what packages write into `License` and its classifiers.
NAMES = {
    "apache": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "2-clause bsd": "BSD-2-Clause",
    "bsd 2-clause license": "BSD-2-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "bsd": "BSD",
    "bsd license": "BSD",
    "gnu library or lesser general public license (lgpl)": "LGPL",
    "gplv2 with linking exception": "GPL-2.0-only WITH GCC-exception-2.0",
    "gplv2 | eplv1": "GPL-2.0-only OR EPL-1.0",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "lgpl with exceptions": "LGPL-3.0-or-later",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
    "zope public license": "ZPL-2.1",
}
# Packages whose metadata is silent or vague: what the licence file in the package says; for
# python-dateutil, whose metadata names both, how the two are joined.
BY_FILE = {
    "mlcroissant": "Apache-2.0",
    "blinker": "MIT",
    "huey": "MIT",
    "matplotlib": "PSF-2.0",
    "python-dateutil": "Apache-2.0 OR BSD-3-Clause",
    "skops": "MIT",
    # Its metadata and files say nothing of the code; the library inside is espeak-ng.
    "espeakng-loader": "GPL-3.0-or-later",
}
SPDX = re.compile(
    r"(?:MIT|ISC|ZPL|PSF|(?:Apache|BSD|[AL]?GPL|MPL|EPL)-\d)[\w.+-]*(?: (?:OR|AND) \S+)*"
)
# Licences that ask those who pass a program on for its source, or forbid it.
STRICT = re.compile(r"GPL-|MPL-|EPL-|NVIDIA")


def pinned() -> set[str]:
    """All packages of the project's lists."""
    found = set()
    for name in LISTS:
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
            pin = re.match(r"([A-Za-z0-9._-]+)==", line)
            if pin:
                found.add(canonicalize_name(pin[1]))
    return found


def licence(name: str) -> str | None:
    """The SPDX expression of an installed package; None for one that is not installed."""
    try:
        about = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return None
    if name in BY_FILE:
        return BY_FILE[name]
    # Not about["..."]: once importlib_metadata is imported it answers here too, and its index
    # raises KeyError for a field that is absent, where the standard library's gives None.
    if expression := about.get("License-Expression"):
        return expression
    said = re.split(r"\n|  | - ", about.get("License") or "")[:1]  # some have the whole text there
    said += [
        line.split(" :: ")[-1] for line in about.get_all("Classifier") or [] if "License ::" in line
    ]
    for text in said:
        if text.lower() in NAMES:
            return NAMES[text.lower()]
        if SPDX.fullmatch(text):
            return text
    return "unknown"


def free_choice(expression: str) -> bool:
    """Whether an expression can be met without any of the STRICT licences."""
    return any(not STRICT.search(choice) for choice in re.split(r" OR (?![^(]*\))", expression))


def listed() -> dict[str, str]:
    """Package -> licence, as docs/licences.md has them."""
    text = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    found = {}
    for expression, names in re.findall(r"^\| `([^`]+)` \| ([^|]+) \|$", text, re.M):
        for name in names.split(", "):
            assert name not in found, name
            found[name.strip()] = expression
    return found


if __name__ == "__main__":
    known = listed() if (ROOT / "docs" / "licences.md").exists() else {}
    by = defaultdict(list)
    for package in sorted(pinned()):
        by[licence(package) or known.get(package, "unknown")].append(package)
    for expression, packages in sorted(by.items(), key=lambda item: (-len(item[1]), item[0])):
        print(f"| `{expression}` | {', '.join(packages)} |")

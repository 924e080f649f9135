"""python -m stages.summary BASE: the tables in Markdown, and what they have become since BASE."""

import subprocess

from amid.errors import AmidError
from amid.maintenance.table_diff import as_markdown, diff_tables
from stages.common import REPORTS, run_command

SHOWN = 100  # changes of a table


def main(base: str) -> None:
    if _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}") is None:
        raise AmidError(
            f"git knows no commit {base!r}: name a branch, tag or commit to compare to."
        )
    for page in sorted(REPORTS.glob("table*.md")):
        print(page.read_text(encoding="utf-8").replace("\n#", "\n##").replace("# ", "## ", 1))
        table = page.with_suffix(".csv")
        before = _git("show", "--end-of-options", f"{base}:./{table.as_posix()}")
        if before is None:
            print(f"New: {base} has no {table}.\n")
            continue
        found = diff_tables(before, table.read_text(encoding="utf-8"))
        print(f"{len(found) or 'No'} cells of {table} differ from {base}.\n")
        if found:
            print(as_markdown(found[:SHOWN]))


def _git(*words: str) -> str | None:
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


if __name__ == "__main__":
    run_command(main)

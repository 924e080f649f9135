"""Progress as a bar on a terminal, and as an occasional plain line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

PLAIN_SECONDS = 10.0


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Progress:
    """Counts from `done` up to `total`, None if that is unknown.

    of_bytes: the counts are bytes, shown as MB. plain: prints a line where there is no terminal.
    """

    def __init__(
        self,
        title: str,
        total: int | None,
        *,
        done: int = 0,
        of_bytes: bool = False,
        plain: Callable[[str], None] = _print,
    ) -> None:
        self.title, self.total, self.count = title, total, done
        self._of_bytes, self._plain = of_bytes, plain
        self._last = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            unit = {"unit": "B", "unit_scale": True} if of_bytes else {}
            self._bar = tqdm(
                total=total, initial=done, desc=title, leave=False, dynamic_ncols=True, **unit
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, steps: int = 1) -> None:
        self.count += steps
        if self._bar is not None:
            self._bar.update(steps)
        elif time.monotonic() - self._last > PLAIN_SECONDS:
            self._last = time.monotonic()
            self._plain(f"{self.title} {self}")

    def __str__(self) -> str:
        """The count as text: 3/10, 1.5/4.0 MB, or without a total."""
        if not self._of_bytes:
            return str(self.count) if self.total is None else f"{self.count}/{self.total}"
        done = f"{self.count / 1e6:.1f}"
        return f"{done} MB" if self.total is None else f"{done}/{self.total / 1e6:.1f} MB"

    def say(self, line: str) -> None:
        if self._bar is not None:
            self._bar.write(line)
        else:
            print(line, flush=True)

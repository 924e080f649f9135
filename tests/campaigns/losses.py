"""Generated edge cases of all losses against their loops:

    python -m tests.campaigns.losses --count 2000 --seed 0

Cases are drawn by hypothesis from the printed seeds, the same ones every time; a failing case is
made as small as it gets and printed whole.
"""

import amid.core.reproducible  # noqa: F401  isort: skip  pins kernels before torch loads

import argparse
import math
import sys
from collections import Counter

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.losses.edge_cases import LOSSES, Arguments, Loss, edges, fault


def run(loss: Loss, count: int, start: int) -> tuple[int, Counter[str], str | None]:
    """Right cases of `count`, which edges they lay on, and the smallest wrong case there is."""
    right, seen, wrong = 0, Counter(), None

    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @seed(start)
    @given(loss.arguments)
    def one(arguments: Arguments) -> None:
        nonlocal right, wrong
        shown = repr(arguments)
        found = fault(loss, arguments)
        if found is not None:
            wrong = f"{found}; of {shown}"  # the last one to fail is the smallest
            raise AssertionError(found)
        right += 1
        seen.update(edges(arguments))

    try:
        one()
    except AssertionError:
        return min(right, count - 1), seen, wrong
    return right, seen, None


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=2000, metavar="N", help="cases in all (2000)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the first loss (0)")
    given_words = parser.parse_args(words)
    each = math.ceil(given_words.count / len(LOSSES))
    right = 0
    seen: Counter[str] = Counter()
    for number, (name, loss) in enumerate(LOSSES.items()):
        start = given_words.seed + number
        good, found, wrong = run(loss, each, start)
        right, seen = right + good, seen + found
        print(f"{name}: {good}/{each}, seed {start}" + (f": {wrong}" if wrong else ""), flush=True)
    print("on an edge: " + ", ".join(f"{edge} {n}" for edge, n in seen.most_common()))
    total = each * len(LOSSES)
    print(f"{right}/{total} edge cases finite, gradients too, and equal to the loops")
    return 0 if right == total else 1


if __name__ == "__main__":
    sys.exit(main())

"""Draw the splits and folds that a manifest leaves open, from a seed alone."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple, TypeVar

from amid.datasets.own.checks import fold_number
from amid.datasets.own.options import Options
from amid.datasets.own.sheet import Sheet
from amid.sources.local_media import shuffled

T = TypeVar("T")


class Drawn(NamedTuple):
    """Split and fold of every row; "" is the split of a row without a label that cannot be trained
    on, because its group or its fold is tested or validated. shares: what was asked for of the
    splits that were drawn from the rows `rows`."""

    splits: list[str]
    folds: list[int]
    shares: dict[str, float]
    rows: list[int]


def draw(sheet: Sheet, options: Options) -> Drawn:
    """Split and fold of every row: those of the sheet, else drawn."""
    given = [row.get("split", "") for row in sheet.rows]
    apart = [split == "auxiliary" for split in given]
    told = [fold_number(row.get("fold", "")) for row in sheet.rows]
    folds = [-1 if a or n is None else n for n, a in zip(told, apart, strict=True)]
    labelled = [n for n, a in enumerate(apart) if not a and sheet.rows[n]["label"]]
    others = [n for n, a in enumerate(apart) if not a and not sheet.rows[n]["label"]]
    if all(fold < 0 for fold in folds):
        drawn = _drawn_folds(sheet, labelled, options)
        for n, fold in (_of_groups(sheet, others, drawn) | drawn).items():
            folds[n] = fold
    elif not any(given):  # as a cross-validation's first fold
        splits = [{0: "test", 1: "validation"}.get(fold, "train") for fold in folds]
        for n in others:
            splits[n] = "train" if splits[n] == "train" else ""
        return Drawn(splits, folds, {}, [])
    shares = {"test": options.shares.test, "validation": options.shares.validation}
    splits = given
    if not any(given):
        splits = ["train"] * len(given)
    else:
        del shares["test"]
        if "validation" in given:
            return Drawn(given, folds, {}, [])
    rows = [n for n in labelled if splits[n] == "train"]
    drawn = _drawn(sheet, rows, shares, options.seed)
    apart = dict.fromkeys(_of_groups(sheet, others, drawn), "")
    splits = [(drawn | apart).get(n, split) for n, split in enumerate(splits)]
    return Drawn(splits, folds, shares, rows)


def _drawn(sheet: Sheet, chosen: list[int], shares: dict[str, float], seed: int) -> dict[int, str]:
    """Row -> split for a share of the rows `chosen`; whole groups where the sheet has groups, else
    the share of every label."""
    found: dict[int, str] = {}
    if any(row.get("group") for row in sheet.rows):
        members = _members(sheet, chosen, "group")
        waiting = shuffled(members, seed, "split")
        for number, (split, share) in enumerate(shares.items()):
            wanted, count = share * len(chosen), 0
            later = sum(s > 0 for s in list(shares.values())[number + 1 :])
            for group in list(waiting):
                size = len(members[group])
                # a group is taken while that brings the count nearer to the share
                if len(waiting) > 1 + later and abs(count + size - wanted) < abs(count - wanted):
                    found |= dict.fromkeys(members[group], split)
                    waiting.remove(group)
                    count += size
            if share and not count and len(waiting) > 1 + later:  # all are large: the nearest one
                group = min(waiting, key=lambda group: abs(len(members[group]) - wanted))
                found |= dict.fromkeys(members[group], split)
                waiting.remove(group)
        return found
    for label, members in _members(sheet, chosen, "label").items():
        ids = {sheet.rows[n]["id"]: n for n in members}
        waiting = [ids[name] for name in shuffled(ids, seed, f"split/{label}")]
        for split, share in shares.items():
            count = min(round(share * len(members)), len(waiting) - 1)
            found |= dict.fromkeys(waiting[:count], split)
            waiting = waiting[count:]
    return found


def _drawn_folds(sheet: Sheet, chosen: list[int], options: Options) -> dict[int, int]:
    """Row -> fold: whole groups, each to the smallest fold; without groups label by label."""
    if any(row.get("group") for row in sheet.rows):
        members = _members(sheet, chosen, "group")
        sizes = [0] * options.folds
        found = {}
        for group in shuffled(members, options.seed, "fold"):
            fold = sizes.index(min(sizes))
            sizes[fold] += len(members[group])
            found |= dict.fromkeys(members[group], fold)
        return found
    order = []
    for label, members in sorted(_members(sheet, chosen, "label").items()):
        ids = {sheet.rows[n]["id"]: n for n in members}
        order += [ids[name] for name in shuffled(ids, options.seed, f"fold/{label}")]
    return {n: rank % options.folds for rank, n in enumerate(order)}


def _of_groups(sheet: Sheet, rows: list[int], drawn: dict[int, T]) -> dict[int, T]:
    """What was drawn for the groups of `rows`; rows whose group has nothing drawn are left out."""
    groups = {sheet.rows[n].get("group"): value for n, value in drawn.items()}
    return {n: groups[g] for n in rows if (g := sheet.rows[n].get("group")) and g in groups}


def _members(sheet: Sheet, chosen: list[int], column: str) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for n in chosen:
        found[sheet.rows[n][column]].append(n)
    return found

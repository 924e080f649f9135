"""What each table shows of its frame, and the sentences below it that say what the numbers are."""

from __future__ import annotations

from amid.rendering import (
    Column,
    Layout,
    code,
    mark,
    number,
    p_value,
    share,
    signed,
    text,
    titled,
)
from amid.results import REFERENCE, TITLES

BASELINE = {**TITLES, "student_alone": "Baseline (student alone)", "amid": "AMID"}

_CHOSEN = (
    "at the epoch where the student is best on validation; the test split takes no part in the "
    "choice"
)


def _configuration(titles: dict[str, str]) -> Column:
    form = titled(titles, bold=REFERENCE)
    return Column("configuration", "configuration", "configuration", form, left=True)


TABLE1 = Layout(
    "Table 1: recognition with one modality",
    (
        _configuration(BASELINE),
        Column("student", "student", "student"),
        Column("teacher", "teacher", "teacher"),
        Column("student_last", "student, last epoch"),
        Column("teacher_last", "teacher, last epoch"),
        Column("p_seeds_holm", "p (seeds)", "$p$ (seeds)", p_value),
        Column("p_clips_holm", "p (clips)", "$p$ (clips)", p_value),
        Column("paper_student", "paper: student", "paper, UCF51", number),
    ),
    f"Test Top-1 in per cent, mean ± sample standard deviation over seeds, {_CHOSEN}. teacher: the "
    "one that the student learns from, at the same epoch where they train together. p: two-sided "
    "paired t tests of the student against AMID, over seeds and over test clips (each clip "
    "averaged over seeds), with Holm's correction over the rows of a data set; the uncorrected "
    "ones stand in table1.csv. The paper's column is its Top-1 on UCF51, with other data and other "
    "networks: of its Table 1 we know only the two rows that its Table 4 repeats.",
)

TABLE2 = Layout(
    "Table 2: retrieval with one modality",
    (
        _configuration(BASELINE),
        Column("r@1", "R@1", "R@1"),
        Column("r@5", "R@5", "R@5"),
        Column("r@10", "R@10", "R@10"),
        Column("map", "mAP", "mAP"),
        Column("p_seeds_holm", "p (seeds), R@1", "$p$ (seeds), R@1", p_value),
    ),
    "The student's representations of the test clips as queries in those of the training clips, "
    "ranked by cosine. R@K: share of queries with a clip of their class among the K nearest; mAP: "
    "mean over queries of the average precision of the whole ranking. In per cent, mean ± sample "
    f"standard deviation over seeds, {_CHOSEN}; the last epoch stands in table2.csv. p: two-sided "
    "paired t test of R@1 over seeds against AMID, with Holm's correction over the rows of a data "
    "set. There is no column of the paper's: none of the numbers of its Table 2 is known to us.",
)

TABLE3 = Layout(
    "Table 3: cross-validation by group, by what the teacher sees",
    (
        Column("setup", "setup", "setup", text, left=True),
        _configuration(BASELINE),
        Column("wa", "WA", "WA"),
        Column("ua", "UA", "UA"),
        Column("f1", "macro F1", "macro F1"),
        Column("p_amid_holm", "p (AMID)", "$p$ (AMID)", p_value),
        Column("p_baseline_holm", "p (baseline)", "$p$ (baseline)", p_value),
        Column("paper_wa", "paper: WA", r"\multicolumn{2}{c}{paper: WA, UA}", number),
        Column("paper_ua", "paper: UA", "", number),
    ),
    "The student's WA (weighted accuracy: share of right clips), UA (unweighted accuracy: mean "
    "recall of the classes) and macro F1 (mean F1 of the classes) on the held-out fold, in per "
    "cent, mean ± sample standard deviation over all runs of a row (folds times seeds), "
    f"{_CHOSEN}; the last epoch stands in table3.csv, every run in table3_folds.csv. The student "
    "sees the target modality (V) alone; the setup names what the teacher sees as well: A sound, "
    "L text. p: two-sided paired t tests of WA over the pairs of fold and seed, against AMID in "
    "the same setup and against the baseline, each with Holm's correction within a setup. Folds "
    "share training clips, so the runs are not independent and these p are optimistic. The paper's "
    "columns are its numbers on IEMOCAP: other data, other networks, shown for the order of the "
    "rows.",
    heading="{dataset}, {folds} folds, seeds a fold: {seeds}",
    empty="No data set in `datasets` has setups (params.yaml: data.<name>.setups): there is "
    "nothing to cross-validate.",
)

TABLE4 = Layout(
    "Table 4: which terms carry the gain",
    (
        _configuration(TITLES),
        Column("student", "student", "student"),
        Column("teacher", "teacher", "teacher"),
        Column("student_last", "student, last epoch"),
        Column("teacher_last", "teacher, last epoch"),
        Column("p_seeds", "p (seeds)", None, p_value),
        Column("p_clips", "p (clips)", None, p_value),
        Column("paper_student", "paper: student", r"\multicolumn{2}{c}{paper, UCF51}", number),
        Column("paper_teacher", "paper: teacher", "", number),
    ),
    "Test Top-1 in per cent, mean ± sample standard deviation over seeds, student and teacher at "
    "the epoch where the student (for `teacher alone`: the teacher) is best on validation; the "
    "test split takes no part in the choice. p: two-sided paired t "
    "tests of the student against AMID, over seeds and over test clips (each clip averaged over "
    "seeds), not corrected for the number of rows. The paper's columns are its numbers on UCF51: "
    "other data, other networks, shown for the order of the rows.",
)

TABLE5 = Layout(
    "Table 5: what each part of AMID adds",
    (
        _configuration(TITLES),
        Column("student", "student", "student"),
        Column("teacher", "teacher", "teacher"),
        Column("student_last", "student, last epoch"),
        Column("p_seeds_holm", "p (seeds)", "$p$ (seeds)", p_value),
        Column("p_clips_holm", "p (clips)", "$p$ (clips)", p_value),
        Column("paper_student", "paper: student", "paper, UCF51", number),
    ),
    f"Test Top-1 in per cent, mean ± sample standard deviation over seeds, {_CHOSEN}. fixed "
    "teacher: trained before and frozen. without warm-up: L_adv from the first epoch on. without "
    "D2: D1 alone, with weight 1. without dynamic weight: w1 = w2 = 1/2. p: two-sided paired t "
    "tests of the student against AMID, over seeds and over test clips (each clip averaged over "
    "seeds), with Holm's correction over the rows of a data set. The paper's column is its Top-1 "
    "on UCF51: other data, other networks, shown for the order of the rows.",
)

TABLE6 = Layout(
    "Table 6: sensitivity to the weights of Eq. 17",
    (
        Column("weight", "weight", "weight", text, left=True),
        Column("value", "value", "value", text),
        Column("student", "student", "student"),
        Column("teacher", "teacher", "teacher"),
        Column("student_last", "student, last epoch"),
        Column("default", "default", None, mark),
        Column("paper_student", "paper: student", "paper, UCF51", number),
    ),
    f"Test Top-1 in per cent, mean ± sample standard deviation over seeds, {_CHOSEN}; the other "
    "two weights at their defaults. The paper's column is its Top-1 on UCF51: other data, other "
    "networks.",
)

SENSITIVITY = Layout(
    "Is the range of the weights wider than the noise of the seeds?",
    (
        Column("values", "values", None, text, left=True),
        Column("weight", "weight", None, text, left=True),
        Column("lowest", "from", None, text),
        Column("highest", "to", None, text),
        Column("count", "values tried", None, text),
        Column("spread", "range of means", None, number),
        Column("best", "best value", None, text),
        Column("std", "std over seeds", None, number),
        Column("p_holm", "p", None, p_value),
    ),
    "In points of the student's test Top-1. values: paper, the paper's range; wide, the list "
    "`table6.wide` of params.yaml. range of means: highest less lowest mean over seeds of the "
    "values tried. std over seeds: pooled over the values. p: F test that the means of all values "
    "are equal (seeds as blocks), with Holm's correction over the weights of a list: above .05 the "
    "range is no wider than noise would make it.",
)

SEEDS = Layout(
    "How many seeds does a difference need?",
    (
        Column("design", "design", "design", text, left=True),
        Column("difference", "difference (points)", "difference", number),
        Column("std", "std (points)", "std", number),
        Column("degrees", "degrees of freedom", None, text),
        Column("needed", "seeds needed", "seeds", text),
        Column("std_upper", "std, upper 95 % bound", None, number),
        Column("needed_upper", "seeds needed by that bound", "seeds, bound", text),
    ),
    "Seeds for each of two configurations, so that a two-sided t test at the level `level` finds a "
    "true difference in test Top-1 with probability `power` (params.yaml: table_seeds), by the "
    "noncentral t distribution. unpaired: seeds of their own; std over seeds, pooled over the "
    "configurations. paired: the same seeds; std of the differences to the first configuration, "
    "seed by seed, pooled. That deviation is itself measured on few runs, hence the bound. More "
    "seeds do not make the test split larger: whether other clips would agree is the test over "
    "clips in the other tables.",
)

ADVERSARIAL = Layout(
    "When does the adversarial term help?",
    (
        Column("reading", "reading", "reading", code, left=True),
        Column("validation", "validation", "validation"),
        Column("difference", "difference", "difference", signed),
        Column("p_holm", "p", "$p$", p_value),
        Column("mean_over_data_sets", "difference, mean over data sets", None, signed),
        Column("chosen", "chosen", None, mark),
        Column("test", "test", "test"),
        Column("p_test", "p (test)", "$p$ (test)", p_value),
    ),
    "The student's Top-1 in per cent at its best epoch on validation, mean ± sample standard "
    "deviation over seeds that no other table uses; difference: to the row `without`, which has "
    "gamma = 0, in points; p: two-sided paired t test over seeds against it, with Holm's "
    "correction over the readings of a data set. What each reading changes stands in params.yaml "
    "(table_adversarial.readings). Chosen: the highest mean difference on validation; of it and of "
    "`without` alone the test split is shown, with the p of their one comparison.",
)

SELECTION = Layout(
    "Sample selection: accuracy and cost by the share of each batch that is trained on",
    (
        Column("mismatched", "mismatched", "mismatched", share),
        Column("ratio", "ratio", "ratio", share),
        Column("rule", "rule", "rule", text, left=True),
        Column("student", "student", "student"),
        Column("student_last", "student, last epoch"),
        Column("steps", "steps", "steps", share),
        Column("samples", "samples with gradient", "with gradient", share),
        Column("scored", "samples scored", "scored", share),
        Column("compute", "compute", "compute", share),
    ),
    f"student: test Top-1 in per cent, mean ± sample standard deviation over seeds, {_CHOSEN}. "
    "mismatched: share of the training clips whose other modalities are another clip's. ratio: "
    "share of each batch that is trained on. The other columns are shares of what the run on all "
    "samples (ratio 1.0) needs: optimiser steps; samples that went forward and backward; samples "
    "that only went forward, to be chosen among (as a share of its samples); and compute, forward "
    "and backward together, where a backward pass is counted as twice a forward pass. That is an "
    "estimate: no time stands here because a table must not depend on the clock; measured times "
    "are in docs/performance.md.",
)

TUNE = Layout(
    "The search of each method's numbers",
    (
        Column("configuration", "configuration", None, titled(BASELINE), left=True),
        Column("trial", "trial", None, text),
        Column("overrides", "changes", None, code, left=True),
        Column("validation", "validation"),
        Column("mean_over_data_sets", "mean over data sets", None, number),
        Column("chosen", "chosen", None, mark),
    ),
    "The student's Top-1 on validation in per cent, at its best epoch, mean ± sample standard "
    "deviation over seeds that no reported number uses. changes: on top of the configuration in "
    "params.yaml. Every method has the same number of trials. Chosen: the highest mean over data "
    "sets, of equals the earlier trial. The test split takes no part.",
)

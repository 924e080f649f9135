"""The paper's own numbers, for the reference columns of the tables (Top-1 in per cent, UCF51)."""

# Table 4: configuration -> (student, teacher); None where the paper gives none.
TABLE4: dict[str, tuple[float | None, float | None]] = {
    "student_alone": (66.7, None),
    "teacher_alone": (None, 74.3),
    "l_ft": (69.8, 71.2),
    "l_ft_l_fa": (72.7, 76.0),
    "amid": (73.8, 75.7),
    "amid_ccl": (72.3, 74.3),
}

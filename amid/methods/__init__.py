"""Distillation methods by name: one file each, with Options and Method."""

METHODS: dict[str, str] = {
    "baseline": "amid.methods.baseline",
    "teacher": "amid.methods.teacher",
    "amid": "amid.methods.amid",
}

"""Distillation methods by name: one file each, with Options and Method."""

METHODS: dict[str, str] = {
    "baseline": "amid.methods.baseline",
    "teacher": "amid.methods.teacher",
    "crd": "amid.methods.crd",
    "gmc": "amid.methods.gmc",
    "ccl": "amid.methods.ccl",
    "crcd": "amid.methods.crcd",
    "amid": "amid.methods.amid",
}

"""Distillation methods by name: one file each, with Options and Method."""

METHODS: dict[str, str] = {
    "baseline": "amid.methods.baseline",
    "teacher": "amid.methods.teacher",
    "crd": "amid.methods.crd",
    "gmc": "amid.methods.gmc",
    "ccl": "amid.methods.ccl",
    "crcd": "amid.methods.crcd",
    "amid": "amid.methods.amid",
    "kd": "amid.methods.kd",
    "lskd": "amid.methods.lskd",
    "dkd": "amid.methods.dkd",
    "dist": "amid.methods.dist",
    "fitnets": "amid.methods.fitnets",
    "rkd": "amid.methods.rkd",
    "c2kd": "amid.methods.c2kd",
    "ofakd": "amid.methods.ofakd",
    "cotrained": "amid.methods.cotrained",
    "mfh": "amid.methods.mfh",
}

# Methods for pairs without labels or a classifier, trained by amid.contrastive. Their `losses` are
# given None for labels, and they have `scores` for the rules of amid.selection.contrastive.
PAIR_METHODS: dict[str, str] = {
    "clip": "amid.methods.clip",
}

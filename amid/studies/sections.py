"""Which stage trains the configurations that a table reads."""

from __future__ import annotations

from collections.abc import Sequence

from amid.config import Params
from amid.errors import AmidError

# The sections of params.yaml that the training stages of these names train, as tables read them:
# those that compare methods, and those that take AMID apart.
OF_METHODS = ("baselines", "amid", "compared")
OF_PARTS = ("baselines", "amid", "ablation")
OF_AMID = ("amid", "ablation")
SECTIONS = ("baselines", "amid", "compared", "ablation")
BASE_ROWS = ("student_alone", "amid")  # that the report shows beside those of the tables
ELSEWHERE = "amid"  # the stage that trains a table's rows of other sections as well


def stage_of(params: Params, configuration: str, sections: Sequence[str] = SECTIONS) -> str:
    """The stage, and folder below runs/, with a configuration's runs: the first of `sections` that
    lists it, else ELSEWHERE. AmidError where no section of params.yaml has it."""
    for name in sections:
        if configuration in params.sections.get(name, ()):
            return name
    if not any(configuration in names for names in params.sections.values()):
        raise AmidError(
            f"params.yaml: no entry of 'sections' trains the configuration '{configuration}' that "
            "a table asks for."
        )
    return ELSEWHERE

"""The gate: whether a student's passages help is for dev to say, and if not, one that needs none answers."""

from __future__ import annotations

from collections.abc import Callable

from tutelage.methods.study import Outcome, Study
from tutelage.runs import Stage
from tutelage.types import Split


def score(
    study: Study, student: Stage, seed: int, *, found: Callable[[Split], Stage], plain: Callable[[], Stage]
) -> Outcome:
    """The score with the passages found for each split or, behind a gate, without any if dev prefers that.

    `plain` is the student of the same lessons without passages; behind a gate it is trained too. BM25 alone made
    OpenbookQA worse in KARD's Table 2.
    """
    if study.knowledge.settings.gate:
        student = study.gate(student, beside=found("dev"), plain=plain())
    return study.score(student, seed, beside=found("test"))

"""Distilling step-by-step: the student learns to answer and, as a task of its own, to explain."""

from __future__ import annotations

from tutelage.methods.lessons import PREDICT
from tutelage.methods.study import Outcome, Study


def step_by_step(study: Study, seed: int) -> Outcome:
    """Distilling step-by-step (Hsieh et al., Findings of ACL 2023); the student is scored on answering at once.

    As in the paper a rationale is a target of its own, without the answer. We differ: only correct rationales are
    learnt, the answer stands behind the format's marker, and the epoch is chosen by the accuracy of answering.
    """
    study = study.asking(PREDICT)
    examples = study.lessons.two_tasks(study.taught())
    student = study.train(examples, seed, answer_share=study.recipe.step_by_step.answer_share)
    return study.score(student, seed)

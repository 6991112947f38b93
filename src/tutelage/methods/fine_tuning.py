"""Plain fine-tuning: question in, answer out. What reasoning has to beat."""

from __future__ import annotations

from tutelage.methods import gated
from tutelage.methods.study import Outcome, Study
from tutelage.runs import Stage


def fine_tuning(study: Study, seed: int) -> Outcome:
    """Fine-tuning on gold answers alone (the FT rows of KARD, Tables 1 and 2)."""
    return study.score(_tuned(study, seed), seed)


def knowledge_fine_tuning(study: Study, seed: int) -> Outcome:
    """The same with the passages that BM25 finds by the question (KARD's knowledge-augmented fine-tuning)."""
    found = study.knowledge.asked()
    student = study.train(study.lessons.answers(beside=found), seed, beside=found)
    return gated.score(study, student, seed, found=lambda split: found, plain=lambda: _tuned(study, seed))


def _tuned(study: Study, seed: int) -> Stage:
    return study.train(study.lessons.answers(), seed)

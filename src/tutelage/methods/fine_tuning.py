"""Plain fine-tuning: question in, answer out. What reasoning has to beat."""

from __future__ import annotations

from tutelage.methods.study import Outcome, Study


def fine_tuning(study: Study, seed: int) -> Outcome:
    """Fine-tuning on gold answers alone (the FT rows of KARD, Tables 1 and 2)."""
    examples = study.lessons.answers()
    student = study.train(examples, seed)
    return study.score(student, seed)


def knowledge_fine_tuning(study: Study, seed: int) -> Outcome:
    """The same with the passages that BM25 finds by the question (KARD's knowledge-augmented fine-tuning)."""
    found = study.knowledge.asked()
    student = study.train(study.lessons.answers(beside=found), seed, beside=found)
    return study.score(student, seed, beside=found)

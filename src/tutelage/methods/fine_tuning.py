"""Plain fine-tuning: question in, answer out. What reasoning has to beat."""

from __future__ import annotations

from tutelage.methods.study import Outcome, Study


def fine_tuning(study: Study, seed: int) -> Outcome:
    """Fine-tuning on gold answers alone (the FT rows of KARD, Tables 1 and 2)."""
    examples = study.answers_only()
    student = study.train(examples, seed)
    return study.score(student, seed)

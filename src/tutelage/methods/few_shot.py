"""Few-shot prompting: the model as it comes, shown a few solved questions. What distillation has to beat."""

from __future__ import annotations

from tutelage.methods.study import Outcome, Study


def few_shot(study: Study, seed: int) -> Outcome:
    """Questions with their answers (KARD, Tables 1 and 2, first row)."""
    return study.score(study.untrained(), seed, shots=study.shots())


def few_shot_cot(study: Study, seed: int) -> Outcome:
    """Questions with a correct teacher rationale each (KARD, second row)."""
    return study.score(study.untrained(), seed, shots=study.shots(study.taught()))


def knowledge_few_shot_cot(study: Study, seed: int) -> Outcome:
    """The same, with passages before every question: what BM25 finds by the question (KARD, third row)."""
    found = study.knowledge.asked()
    return study.score(study.untrained(), seed, shots=study.shots(study.taught(), beside=found), beside=found)

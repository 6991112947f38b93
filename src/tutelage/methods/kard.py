"""KARD: passages that the rationale finds stand beside a training question; at test a reranker has to find them."""

from __future__ import annotations

from collections.abc import Callable

from tutelage.methods import gated
from tutelage.methods.reasoning_distillation import distilled
from tutelage.methods.study import Outcome, Study
from tutelage.runs import Stage
from tutelage.types import Split


def kard(study: Study, seed: int) -> Outcome:
    """KARD with its reranker (Kang et al., NeurIPS 2023, section 3 and Figure 2)."""
    return _score(study, seed, study.knowledge.for_seed(seed).reranked)


def kard_bm25(study: Study, seed: int) -> Outcome:
    """The same student, with the passages that BM25 finds by the question (KARD, Tables 1 and 2)."""
    return _score(study, seed, lambda split: study.knowledge.asked())


def kard_oracle(study: Study, seed: int) -> Outcome:
    """The same student, with what a rationale for the test question finds: "silver knowledge", an upper bound.

    It leaks: whoever wrote that rationale knew the answer.
    """
    student = grounded_student(study, seed)
    return study.score(student, seed, beside=study.knowledge.for_seed(seed).silver("test"))


def grounded_student(study: Study, seed: int) -> Stage:
    """A student that learnt each rationale with the passages that the rationale finds (KARD, section 3.2).

    One student serves all three kinds of search, so its epoch is chosen with what rationales find for the dev
    questions. We differ from the published code: only correct rationales are learnt and search, their answer line
    never searches, one prompt serves training and test, and an epoch is chosen at all.
    """
    taught, knowledge = study.taught(), study.knowledge.for_seed(seed)
    examples = study.lessons.rationales(taught, beside=knowledge.beside(taught))
    return study.train(examples, seed, beside=knowledge.chosen_by(study.recipe.student))


def _score(study: Study, seed: int, found: Callable[[Split], Stage]) -> Outcome:
    """The score with these passages, or behind a closed gate that of reasoning distillation."""
    student = grounded_student(study, seed)
    return gated.score(study, student, seed, found=found, plain=lambda: distilled(study, seed))

"""The methods, each a file that reads like its paper's algorithm box."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tutelage.methods.few_shot import few_shot, few_shot_cot, knowledge_few_shot_cot
from tutelage.methods.fine_tuning import fine_tuning, knowledge_fine_tuning
from tutelage.methods.grounded_mentor import grounded_mentor, grounded_mentor_alone
from tutelage.methods.kard import kard, kard_bm25, kard_oracle
from tutelage.methods.mcc_kd import mcc_kd
from tutelage.methods.mentor_kd import mentor_alone, mentor_kd
from tutelage.methods.reasoning_distillation import rag, reasoning_distillation
from tutelage.methods.step_by_step import step_by_step
from tutelage.methods.study import Outcome, Study


class Method(NamedTuple):
    """One way to a student, and what a recipe must have for it."""

    run: Callable[[Study, int], Outcome]
    title: str
    needs: frozenset[str] = frozenset()
    """Sections: teacher, mentor, knowledge, reranker (a part of knowledge)."""
    reference: bool = False
    """Its row stands beside the students' for comparison: it is no small model that was wanted."""
    leaks: str = ""
    """What the row knows of the test split that a method may not know."""


SILVER = "its passages were found with words that know the answer of the test question"

METHODS: dict[str, Method] = {
    "few-shot": Method(few_shot, "Few-shot", reference=True),
    "few-shot-cot": Method(few_shot_cot, "Few-shot CoT", frozenset({"teacher"}), reference=True),
    "knowledge-few-shot-cot": Method(
        knowledge_few_shot_cot, "Few-shot CoT with passages", frozenset({"teacher", "knowledge"}), reference=True
    ),
    "fine-tuning": Method(fine_tuning, "Fine-tuning"),
    "knowledge-fine-tuning": Method(knowledge_fine_tuning, "Fine-tuning with passages", frozenset({"knowledge"})),
    "reasoning-distillation": Method(reasoning_distillation, "Reasoning distillation", frozenset({"teacher"})),
    "rag": Method(rag, "Reasoning distillation, passages at test", frozenset({"teacher", "knowledge"})),
    "kard-bm25": Method(kard_bm25, "KARD (BM25)", frozenset({"teacher", "knowledge"})),
    "kard": Method(kard, "KARD (reranker)", frozenset({"teacher", "knowledge", "reranker"})),
    "kard-oracle": Method(
        kard_oracle, "KARD (oracle)", frozenset({"teacher", "knowledge"}), reference=True, leaks=SILVER
    ),
    "mentor-kd": Method(mentor_kd, "Mentor-KD", frozenset({"teacher", "mentor"})),
    "mentor": Method(mentor_alone, "The mentor itself", frozenset({"teacher", "mentor"}), reference=True),
    "grounded-mentor": Method(grounded_mentor, "Grounded mentor", frozenset({"teacher", "mentor", "knowledge"})),
    "grounded-mentor-alone": Method(
        grounded_mentor_alone,
        "The grounded mentor itself",
        frozenset({"teacher", "mentor", "knowledge"}),
        reference=True,
    ),
    "mcc-kd": Method(mcc_kd, "MCC-KD", frozenset({"teacher"})),
    "step-by-step": Method(step_by_step, "Distilling step-by-step", frozenset({"teacher"})),
}

__all__ = ["METHODS", "Method", "Outcome", "Study"]

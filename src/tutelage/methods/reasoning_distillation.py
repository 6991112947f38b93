"""Reasoning distillation: the student learns to write the teacher's rationale, then the answer."""

from __future__ import annotations

from tutelage.methods import gated
from tutelage.methods.study import Outcome, Study
from tutelage.runs import Stage


def reasoning_distillation(study: Study, seed: int) -> Outcome:
    """Fine-tuning on correct teacher rationales.

    Called Fine-tune-CoT by Ho et al. (ACL 2023), reasoning distillation (RD) by KARD, section 3.1, and Vanilla-KD by
    Mentor-KD, Eq. 2. We differ from the published code of both: the epoch is chosen on dev, never on test.
    """
    return study.score(distilled(study, seed), seed)


def distilled(study: Study, seed: int) -> Stage:
    """A student taught by the teacher's correct rationales alone."""
    return study.train(study.lessons.rationales(study.taught()), seed)


def rag(study: Study, seed: int) -> Outcome:
    """The student of reasoning distillation, which learnt without passages, shown BM25's at test (RAG + RD).

    We differ from KARD's Table 7, whose row trains a dense retriever for it.
    """
    student = distilled(study, seed)
    return gated.score(study, student, seed, found=lambda split: study.knowledge.asked(), plain=lambda: student)

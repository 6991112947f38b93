"""Reasoning distillation: the student learns to write the teacher's rationale, then the answer."""

from __future__ import annotations

from tutelage.methods.study import Outcome, Study


def reasoning_distillation(study: Study, seed: int) -> Outcome:
    """Fine-tuning on correct teacher rationales.

    Called Fine-tune-CoT by Ho et al. (ACL 2023), reasoning distillation (RD) by KARD, section 3.1, and Vanilla-KD by
    Mentor-KD, Eq. 2. We differ from the published code of both: the epoch is chosen on dev, never on test.
    """
    taught = study.taught()
    examples = study.lessons.rationales(taught)
    student = study.train(examples, seed)
    return study.score(student, seed)


def rag(study: Study, seed: int) -> Outcome:
    """The student of reasoning distillation, which learnt without passages, shown BM25's at test (RAG + RD).

    We differ from KARD's Table 7, whose row trains a dense retriever for it.
    """
    student = study.train(study.lessons.rationales(study.taught()), seed)
    return study.score(student, seed, beside=study.knowledge.asked())

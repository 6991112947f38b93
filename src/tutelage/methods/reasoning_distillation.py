"""Reasoning distillation: the student learns to write the teacher's rationale, then the answer."""

from __future__ import annotations

from tutelage.methods.study import Outcome, Study


def reasoning_distillation(study: Study, seed: int) -> Outcome:
    """Fine-tuning on correct teacher rationales.

    Called Fine-tune-CoT by Ho et al. (ACL 2023), reasoning distillation (RD) by KARD, section 3.1, and Vanilla-KD by
    Mentor-KD, Eq. 2. We differ from the published code of both: the epoch is chosen on dev, never on test.
    """
    taught = study.taught()
    examples = study.explained(taught)
    student = study.train(examples, seed)
    return study.score(student, seed)

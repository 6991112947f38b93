"""MCC-KD: whichever rationale the student follows, it should arrive at the same answer."""

from __future__ import annotations

from tutelage.methods.study import Outcome, Study


def mcc_kd(study: Study, seed: int) -> Outcome:
    """Multi-CoT consistent knowledge distillation (Chen et al., Findings of EMNLP 2023).

    We differ from the published code: all kept rationales are learnt and in as many updates as in plain distillation,
    the epoch is chosen on dev, and the choice of pairs, which it leaves to its user, is made here. `FromPairs` has what
    differs in the loss.
    """
    taught = study.taught()
    examples = study.lessons.rationales(taught)
    pairs = study.lessons.unlike_pairs(taught)
    student = study.train(examples, seed, pairs=pairs)
    return study.score(student, seed)

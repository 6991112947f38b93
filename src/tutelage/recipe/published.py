"""Where the published code of Mentor-KD differs in what changes results."""

from __future__ import annotations

from typing import Any

PUBLISHED: dict[str, Any] = {
    "teacher.trust_file": True,  # mentor_kd.py:140 believes `initial_correct`
    "student.schedule": "constant",  # M24: plain AdamW
    "student.warmup": 0.0,
    "student.max_grad_norm": None,
    "student.decay_norms": True,  # M12: no_decay names "LayerNorm", T5 calls it "layer_norm"
    "student.select": "test_accuracy",  # Appendix B: "the best test accuracy per epoch"
    "mentor.schedule": "constant",
    "mentor.warmup": 0.0,
    "mentor.max_grad_norm": None,
    "mentor.decay_norms": True,
    "mentor.select": "last",  # M6: the weights saved as the best are those of the last epoch
    "soft_labels.scaled": False,  # M7
    "soft_labels.live": True,  # M10: the mentor's whole distribution, worked out in every step
}
"""What `published: true` sets, and where the published code of Mentor-KD (2hojae/mentor-kd at ec9ea11) does so."""

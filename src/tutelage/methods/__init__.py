"""The methods, each a file that reads like its paper's algorithm box."""

from __future__ import annotations

from collections.abc import Callable

from tutelage.methods.fine_tuning import fine_tuning
from tutelage.methods.mcc_kd import mcc_kd
from tutelage.methods.mentor_kd import mentor_alone, mentor_kd
from tutelage.methods.reasoning_distillation import reasoning_distillation
from tutelage.methods.step_by_step import step_by_step
from tutelage.methods.study import Outcome, Study

Method = Callable[[Study, int], Outcome]

METHODS: dict[str, Method] = {
    "fine-tuning": fine_tuning,
    "reasoning-distillation": reasoning_distillation,
    "mentor-kd": mentor_kd,
    "mentor": mentor_alone,
    "mcc-kd": mcc_kd,
    "step-by-step": step_by_step,
}
NEEDS_TEACHER = {"reasoning-distillation", "mentor-kd", "mentor", "mcc-kd", "step-by-step"}
"""Methods that cannot run without a `teacher:` section."""
NEEDS_MENTOR = {"mentor-kd", "mentor"}
"""Methods that cannot run without a `mentor:` section."""
TITLES = {
    "fine-tuning": "Fine-tuning",
    "reasoning-distillation": "Reasoning distillation",
    "mentor-kd": "Mentor-KD",
    "mentor": "The mentor itself",
    "mcc-kd": "MCC-KD",
    "step-by-step": "Distilling step-by-step",
}

__all__ = ["METHODS", "NEEDS_MENTOR", "NEEDS_TEACHER", "TITLES", "Method", "Outcome", "Study"]

"""The methods, each a file that reads like its paper's algorithm box."""

from __future__ import annotations

from collections.abc import Callable

from tutelage.methods.fine_tuning import fine_tuning
from tutelage.methods.reasoning_distillation import reasoning_distillation
from tutelage.methods.study import Outcome, Study

Method = Callable[[Study, int], Outcome]

METHODS: dict[str, Method] = {
    "fine-tuning": fine_tuning,
    "reasoning-distillation": reasoning_distillation,
}
NEEDS_TEACHER = {"reasoning-distillation"}
"""Methods that cannot run without a `teacher:` section."""
TITLES = {"fine-tuning": "Fine-tuning", "reasoning-distillation": "Reasoning distillation"}

__all__ = ["METHODS", "NEEDS_TEACHER", "TITLES", "Method", "Outcome", "Study"]

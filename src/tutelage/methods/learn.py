"""From a recipe's student section to the plain arguments of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from tutelage.models import LanguageModel, LoraSettings
from tutelage.recipe import StudentSection
from tutelage.training.student import Settings, Trained, train
from tutelage.types import Example


def train_student(
    examples: Sequence[Mapping[str, Any]],
    dev: Sequence[Mapping[str, Any]],
    student: StudentSection,
    *,
    folder: Path,
    seed: int,
    device: Literal["auto", "cpu", "cuda"],
    dev_score: Callable[[LanguageModel], float],
    tell: Callable[[dict[str, Any]], None],
) -> Trained:
    """Train the student of a recipe on example rows; what was begun in `folder` is gone on with."""
    chosen = student.model_dump(exclude={"model", "lora"})
    return train(
        [Example(**row) for row in examples],
        [Example(**row) for row in dev],
        Settings(seed=seed, lora=_lora(student), **chosen),
        model=student.model,
        folder=folder,
        dev_score=dev_score if student.select == "dev_accuracy" else None,
        device=device,
        progress=False,
        tell=tell,
    )


def _lora(student: StudentSection) -> LoraSettings | None:
    if student.lora is None:
        return None
    targets = tuple(student.lora.targets) if student.lora.targets else None
    return LoraSettings(**{**student.lora.model_dump(), "targets": targets})

"""From the sections of a recipe to the plain arguments of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from tutelage.models import LanguageModel, LoraSettings
from tutelage.recipe import LearnerSection, SoftLabelSection
from tutelage.runs import Stage
from tutelage.training.objective import TARGETS, Teaching
from tutelage.training.settings import Select, Settings
from tutelage.training.student import Trained, train
from tutelage.types import Example


def train_model(
    examples: Sequence[Mapping[str, Any]],
    dev: Sequence[Mapping[str, Any]],
    learner: LearnerSection,
    *,
    soft: tuple[Stage, SoftLabelSection] | None,
    folder: Path,
    seed: int,
    device: Literal["auto", "cpu", "cuda"],
    accuracy: Callable[[LanguageModel], float],
    tell: Callable[[dict[str, Any]], None],
) -> Trained:
    """Train the student or mentor of a recipe on example rows; what was begun in `folder` is gone on with."""
    select: Select = "dev_accuracy" if learner.select == "test_accuracy" else learner.select
    chosen = learner.model_dump(include=set(LearnerSection.model_fields) - {"model", "lora", "select"})
    return train(
        [Example(**row) for row in examples],
        [Example(**row) for row in dev],
        Settings(seed=seed, lora=_lora(learner), select=select, **chosen),
        model=learner.model,
        folder=folder,
        dev_score=accuracy if select == "dev_accuracy" else None,
        teaching=_teaching(*soft) if soft else TARGETS,
        device=device,
        progress=False,
        tell=tell,
    )


def _teaching(labels: Stage, soft: SoftLabelSection) -> Teaching:
    """A mentor's cached soft labels, or the mentor itself in every step."""
    from tutelage.training.soft_objective import FromMentor, FromSoftLabels

    shared: dict[str, Any] = soft.model_dump(include={"loss", "weight", "temperature", "scaled"})
    if not soft.live:
        return FromSoftLabels(labels.folder, labels.fingerprint, **shared)
    layers = tuple(soft.layers) if soft.layers else None
    return FromMentor(str(labels.folder / "model"), labels.fingerprint, **shared, layers=layers)


def _lora(learner: LearnerSection) -> LoraSettings | None:
    if learner.lora is None:
        return None
    targets = tuple(learner.lora.targets) if learner.lora.targets else None
    return LoraSettings(**{**learner.lora.model_dump(), "targets": targets})

"""From the sections of a recipe to the plain arguments of training."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from tutelage.formats import Format
from tutelage.models import LanguageModel, LoraSettings
from tutelage.recipe import LearnerSection, LoraSection, MccSection, SoftLabelSection
from tutelage.runs import Stage, read_jsonl
from tutelage.training.memory import release_memory
from tutelage.training.objective import TARGETS, Teaching
from tutelage.training.settings import Select, Settings
from tutelage.training.student import Trained, train
from tutelage.types import Example


def train_model(
    examples: Sequence[Mapping[str, Any]],
    dev: Sequence[Mapping[str, Any]],
    learner: LearnerSection,
    *,
    teaching: Teaching | None,
    folder: Path,
    seed: int,
    device: Literal["auto", "cpu", "cuda"],
    accuracy: Callable[[LanguageModel], float],
    tell: Callable[[dict[str, Any]], None],
) -> Trained:
    """Train the student or mentor of a recipe on example rows; what was begun in `folder` is gone on with."""
    select: Select = "dev_accuracy" if learner.select == "test_accuracy" else learner.select
    chosen = learner.model_dump(include=set(LearnerSection.model_fields) - {"model", "lora", "select"})
    trained = train(
        [Example(**row) for row in examples],
        [Example(**row) for row in dev],
        Settings(seed=seed, lora=lora_settings(learner.lora), select=select, **chosen),
        model=learner.model,
        folder=folder,
        dev_score=accuracy if select == "dev_accuracy" else None,
        teaching=teaching or TARGETS,
        device=device,
        progress=False,
        tell=tell,
    )
    release_memory()
    return trained


def from_mentor(labels: Stage, soft: SoftLabelSection) -> Teaching:
    """A mentor's cached soft labels, or the mentor itself in every step."""
    from tutelage.training.soft_objective import FromMentor, FromSoftLabels

    shared: dict[str, Any] = soft.model_dump(include={"loss", "weight", "temperature", "scaled"})
    if not soft.live:
        return FromSoftLabels(labels.folder, labels.fingerprint, **shared)
    layers = tuple(soft.layers) if soft.layers else None
    return FromMentor(str(labels.folder / "model"), labels.fingerprint, **shared, layers=layers)


def from_pairs(pairs: Stage, mcc: MccSection, fmt: Format) -> Teaching:
    """Two rationales of a question that should lead to the same answer."""
    from tutelage.training.pairs import FromPairs

    chosen = tuple((row["first"], row["second"]) for row in read_jsonl(pairs.folder / "pairs.jsonl"))
    return FromPairs(chosen, fmt.marker, weight=mcc.weight, temperature=mcc.temperature)


def from_tasks(examples: Sequence[Mapping[str, Any]], answers: Collection[str], answer_share: float) -> Teaching:
    """Answers, the examples of these ids, and rationales, all others, as two tasks of one student."""
    from tutelage.training.tasks import FromTasks

    task_of = {row["id"]: "predict" if row["id"] in answers else "explain" for row in examples}
    return FromTasks({"predict": answer_share, "explain": 1 - answer_share}, task_of)


def lora_settings(section: LoraSection | None) -> LoraSettings | None:
    """The adapters that a section asks for."""
    if section is None:
        return None
    return LoraSettings(**{**section.model_dump(), "targets": tuple(section.targets) if section.targets else None})

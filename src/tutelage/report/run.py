"""A finished run folder, read back: the only thing a report is made from.

`results.json` names everything else, with paths relative to the folder (shortened):

    {"name": "pocket/steps", "task": {"name": "pocket/steps", "counts": {"train": 900, "dev": 100, "test": 300}},
     "arms": [{"arm": "fine-tuning", "title": "Fine-tuning", "reference": false, "seed": 1,
               "predictions": "stages/.../predictions.jsonl", "history": "stages/.../history.jsonl",
               "training": {...}, "seconds": {"train": 40.1, "score": 3.0}}],
     "questions": "stages/.../questions.jsonl", "seeds": [1, 2], "baseline": "fine-tuning", ...}
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.errors import RunError
from tutelage.types import Prediction, Question, prediction_from_json, question_from_json

COMMON = 0.1
"""Share of the training questions from which an answer is common: yes, no and letters are, most numbers are not."""


@dataclass(frozen=True, slots=True)
class Trained:
    """One arm trained with one seed: what it answered, and how it learnt."""

    predictions: tuple[Prediction, ...]
    history: tuple[Mapping[str, Any], ...]
    """Rows of epoch, step, loss, dev_loss, dev_accuracy, learning_rate, seconds; any may be None. Where the loss has
    several terms, also `terms` and `gradient_norms` by name."""
    training: Mapping[str, Any]
    """steps, tokens, seconds, best_epoch, examples."""
    seconds: Mapping[str, float]
    """By what was done: train, score."""


@dataclass(frozen=True, slots=True)
class ArmRun:
    """One arm with all its seeds."""

    arm: str
    title: str
    by_seed: Mapping[int, Trained]
    """In order of seeds."""
    is_reference: bool = False
    """Stands in tables beside the students, as the mentor itself does, but competes with none of them."""

    @property
    def predictions(self) -> dict[int, tuple[Prediction, ...]]:
        """The predictions of each seed."""
        return {seed: trained.predictions for seed, trained in self.by_seed.items()}


@dataclass(frozen=True, slots=True)
class Reference:
    """What always giving one answer would score: the one most frequent among the training questions."""

    answer: str
    accuracy: float


@dataclass(frozen=True, slots=True)
class Run:
    """Everything a report shows."""

    folder: Path
    results: Mapping[str, Any]
    """results.json as it is."""
    questions: tuple[Question, ...]
    """Those the arms answered, in the order of the data file."""
    arms: tuple[ArmRun, ...]
    reference: Reference | None
    """None where no answer is common enough to be worth giving always."""


def read_run(folder: Path) -> Run:
    """Everything about a finished run. Raises RunError naming the file that is missing or damaged."""
    results = read_object(folder / "results.json")
    try:
        asked = [question_from_json(row) for row in read_rows(folder / results["questions"])]
        arms = _arms(folder, results["arms"])
    except KeyError as error:
        raise RunError(f"{folder / 'results.json'}: {error.args[0]!r} is missing. Run the recipe again.") from error
    answered = {p.question_id for arm in arms for t in arm.by_seed.values() for p in t.predictions}
    questions = tuple({q.id: q for q in asked if q.id in answered}.values())
    if unknown := answered - {q.id for q in questions}:
        raise RunError(
            f"{folder}: {len(unknown)} predictions are for questions that are not in {results['questions']}."
        )
    return Run(folder, results, questions, arms, _reference(asked, questions))


def _arms(folder: Path, rows: list[dict[str, Any]]) -> tuple[ArmRun, ...]:
    """Arms in the order first met, each with its seeds in ascending order."""
    found: dict[str, dict[int, Trained]] = {}
    for row in sorted(rows, key=lambda row: row["seed"]):
        found.setdefault(row["arm"], {})[row["seed"]] = Trained(
            predictions=tuple(prediction_from_json(p) for p in read_rows(folder / row["predictions"])),
            history=tuple(read_rows(folder / row["history"])) if row.get("history") else (),
            training=row.get("training") or {},
            seconds=row.get("seconds") or {},
        )
    titles = {row["arm"]: row.get("title") or row["arm"] for row in rows}
    references = {row["arm"] for row in rows if row.get("reference")}
    return tuple(ArmRun(arm, title, found[arm], arm in references) for arm, title in titles.items())


def _reference(asked: list[Question], answered: tuple[Question, ...]) -> Reference | None:
    taught = Counter(q.answer for q in asked if q.split == "train")
    if not taught or not answered:
        return None
    answer = min(taught, key=lambda a: (-taught[a], a))
    if taught[answer] < COMMON * taught.total():
        return None
    return Reference(answer, sum(q.answer == answer for q in answered) / len(answered))


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file; NaN and Infinity, which are no JSON, become None. Raises RunError where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda _: None)
    except FileNotFoundError as error:
        raise RunError(f"{path} is not there. Is {path.parent} a run folder, and has its run finished?") from error
    except ValueError as error:
        raise RunError(f"{path}: not JSON ({error}). Run the recipe again.") from error


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file, under the same rules."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError as error:
        raise RunError(f"{path} is not there. Run the recipe again; what is finished is kept.") from error
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                rows.append(json.loads(line, parse_constant=lambda _: None))
            except ValueError as error:
                raise RunError(f"{path}:{number}: not JSON ({error}). Delete its folder and run again.") from error
    return rows

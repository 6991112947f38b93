"""A finished run folder, read back: the only thing a report is made from.

`results.json` names everything else, with paths relative to the folder (shortened):

    {"name": "pocket/steps", "task": {"name": "pocket/steps", "counts": {"train": 900, "dev": 100, "test": 300}},
     "arms": [{"arm": "fine-tuning", "title": "Fine-tuning", "reference": false, "seed": 1,
               "model": "3f9c2a71b0de", "parts": {"student": ["3f9c2a71b0de"]},
               "predictions": "stages/.../predictions.jsonl", "history": "stages/.../history.jsonl",
               "training": {...}, "seconds": {"train": 40.1, "score": 3.0}}],
     "questions": "stages/.../questions.jsonl", "seeds": [1, 2], "baseline": "fine-tuning", ...}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tutelage.errors import RunError
from tutelage.evaluation.runs import Origin
from tutelage.report.files import read_object, read_rows
from tutelage.report.lookups.passages import Cited, read_cited
from tutelage.report.lookups.rerankers import Learnt, read_rerankers
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
    model: str | None = None
    """What identifies the model that answered; None in runs of before this was written down, as below."""
    parts: Mapping[str, tuple[str, ...]] | None = None
    """What identifies everything that was trained for its answers, by part: student, mentor, reranker."""


@dataclass(frozen=True, slots=True)
class ArmRun:
    """One arm with all its seeds."""

    arm: str
    title: str
    by_seed: Mapping[int, Trained]
    """In order of seeds."""
    is_reference: bool = False
    """Stands in tables beside the students, as the mentor itself does, but competes with none of them."""
    leaks: str = ""
    """What it knows of the test split that a method may not know; empty for an honest arm."""
    index: str | None = None
    """The index that its passages come from, as `Run.passages` names it."""

    @property
    def note(self) -> str:
        """What stands behind its title in tables: reference, leaks, what all its seeds share, or nothing."""
        one = self.origin.shared or (("run",) if self.is_one_run else ())
        known = ("reference" if self.is_reference else "", "leaks" if self.leaks else "", *(f"one {o}" for o in one))
        return ", ".join(filter(None, known))

    @property
    def is_one_run(self) -> bool:
        """Whether one trained model answered for several seeds."""
        origin = self.origin
        return origin.is_trained and len(self.by_seed) > 1 and len(set(origin.models.values())) == 1

    @property
    def marked(self) -> str:
        """Its title with the note: KARD (oracle) (reference, leaks)."""
        return f"{self.title} ({self.note})" if self.note else self.title

    @property
    def origin(self) -> Origin:
        """Which of its seeds are runs of their own, and what they share."""
        models = {seed: trained.model for seed, trained in self.by_seed.items() if trained.model}
        known = [trained.parts for trained in self.by_seed.values() if trained.parts is not None]
        is_trained = len(known) < len(self.by_seed) or any(known)
        return Origin(models, shared_parts(self.by_seed.values()) if len(set(models.values())) > 1 else (), is_trained)

    @property
    def predictions(self) -> dict[int, tuple[Prediction, ...]]:
        """The predictions of each seed."""
        return {seed: trained.predictions for seed, trained in self.by_seed.items()}


def shared_parts(seeds: Collection[Trained]) -> tuple[str, ...]:
    """The parts of which one was trained for several models."""
    models: dict[tuple[str, str], set[str | None]] = {}
    for trained in seeds:
        for part, fingerprints in (trained.parts or {}).items():
            for fingerprint in fingerprints:
                models.setdefault((part, fingerprint), set()).add(trained.model)
    return tuple(dict.fromkeys(part for (part, _), of in models.items() if len(of) > 1))


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
    passages: Mapping[tuple[str, str], Cited] = field(default_factory=dict)
    """The texts of cited passages, by index and id; not all where they are too many."""
    rerankers: tuple[Learnt, ...] = ()


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
    return Run(
        folder,
        results,
        questions,
        arms,
        _reference(asked, questions),
        passages=read_cited(folder, results),
        rerankers=read_rerankers(folder, results),
    )


def _arms(folder: Path, rows: list[dict[str, Any]]) -> tuple[ArmRun, ...]:
    """Arms in the order first met, each with its seeds in ascending order."""
    found: dict[str, dict[int, Trained]] = {}
    for row in sorted(rows, key=lambda row: row["seed"]):
        found.setdefault(row["arm"], {})[row["seed"]] = Trained(
            predictions=tuple(prediction_from_json(p) for p in read_rows(folder / row["predictions"])),
            history=tuple(read_rows(folder / row["history"])) if row.get("history") else (),
            training=row.get("training") or {},
            seconds=row.get("seconds") or {},
            model=row.get("model"),
            parts=None if row.get("parts") is None else {name: tuple(of) for name, of in row["parts"].items()},
        )
    first = {row["arm"]: row for row in reversed(rows)}
    return tuple(
        ArmRun(
            arm,
            first[arm].get("title") or arm,
            found[arm],
            is_reference=bool(first[arm].get("reference")),
            leaks=first[arm].get("leaks") or "",
            index=first[arm].get("index"),
        )
        for arm in dict.fromkeys(row["arm"] for row in rows)
    )


def _reference(asked: list[Question], answered: tuple[Question, ...]) -> Reference | None:
    taught = Counter(q.answer for q in asked if q.split == "train")
    if not taught or not answered:
        return None
    answer = min(taught, key=lambda a: (-taught[a], a))
    if taught[answer] < COMMON * taught.total():
        return None
    return Reference(answer, sum(q.answer == answer for q in answered) / len(answered))

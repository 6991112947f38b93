"""The records every part of tutelage speaks in: frozen, small, and free of imports from the package.

A teacher, a mentor and a student all write `Rationale`s, so keeping, grading and showing what was written exists once.
A rationale as stored on disk (one JSON object a line):

    {"question_id": "q-1f0c9a3be2d45a77", "source": "teacher:recorded", "sample": 0, "text": "Start with 12. ...",
     "answer": "17", "verdict": "correct", "passage_ids": [], "tokens": 41, "finished": true}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")


class Verdict(StrEnum):
    """What grading says of one written answer."""

    CORRECT = "correct"
    WRONG = "wrong"
    UNREAD = "unread"
    """No answer could be read. Never guessed, always counted; in accuracy it counts as not correct."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question with its gold answer."""

    id: str
    """Stable and made from the content (see `question_id`), never from a row number."""
    task: str
    split: Split
    text: str
    """The question itself, without its choices."""
    choices: tuple[str, ...]
    """The texts of options A, B, C, ...; empty when the question is open."""
    answer: str
    """Gold answer in the canonical form of the task's answer type, e.g. "B", "yes", "17"."""
    meta: Mapping[str, str] = field(default_factory=dict[str, str])
    """`source_id` and `source_text` as the data file had them (recorded rationales are joined by them), `where`."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One entry of a corpus."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Hit:
    """One passage found by a retriever."""

    passage_id: str
    score: float
    rank: int
    """0 is the best."""


@dataclass(frozen=True, slots=True)
class Rationale:
    """What a teacher, mentor or student wrote for one question."""

    question_id: str
    source: str
    """Who wrote it: "teacher:gpt-4o", "mentor:<fingerprint>", "student:<fingerprint>"."""
    sample: int
    """0-based number of this sample among those of the same source and question."""
    text: str
    """The reasoning, without the answer line; everything that was written when no answer could be told apart."""
    answer: str | None
    """The answer read from it in canonical form, or None when unread."""
    verdict: Verdict | None
    """None until judged."""
    passage_ids: tuple[str, ...] = ()
    tokens: int = 0
    """Tokens written by the model, end mark included; 0 when unknown."""
    finished: bool = True
    """False when the text was cut at the length limit."""


@dataclass(frozen=True, slots=True)
class Example:
    """One training pair: a prompt and the text to learn to write after it."""

    id: str
    """`question_id#source#sample`, or for a mentor's text `question_id#mentor#hash of the text`; unique within a
    training set."""
    prompt: str
    target: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Prediction:
    """A student's voted answer to one question, with every rationale behind the vote."""

    question_id: str
    answer: str | None
    verdict: Verdict
    rationales: tuple[Rationale, ...]
    hits: tuple[Hit, ...] = ()
    """The passages that stood beside the question, best first, with the scores that chose them."""


class Score(NamedTuple):
    """How well one trained student answered one split."""

    predictions: tuple[Prediction, ...]

    @property
    def n(self) -> int:
        """Number of questions."""
        return len(self.predictions)

    @property
    def correct(self) -> int:
        """Number answered correctly."""
        return sum(p.verdict is Verdict.CORRECT for p in self.predictions)

    @property
    def unread(self) -> int:
        """Number for which no answer could be read."""
        return sum(p.verdict is Verdict.UNREAD for p in self.predictions)

    @property
    def accuracy(self) -> float:
        """Share of questions answered correctly, in [0, 1]; unread ones count as not correct."""
        return self.correct / self.n if self.n else 0.0


def question_id(task: str, text: str, choices: tuple[str, ...] = ()) -> str:
    """A question's id: 16 hex digits of SHA-256 over task, text and choices, white space runs read as one space."""
    content = [task, " ".join(text.split()), *(" ".join(choice.split()) for choice in choices)]
    return "q-" + hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:16]


def to_json(record: Question | Passage | Hit | Rationale | Example | Prediction) -> dict[str, Any]:
    """A record as plain JSON values (tuples become lists, verdicts strings)."""
    return asdict(record)


def rationale_from_json(row: Mapping[str, Any]) -> Rationale:
    """The inverse of `to_json` for a rationale."""
    verdict = row.get("verdict")
    return Rationale(
        question_id=row["question_id"],
        source=row["source"],
        sample=row["sample"],
        text=row["text"],
        answer=row["answer"],
        verdict=Verdict(verdict) if verdict is not None else None,
        passage_ids=tuple(row.get("passage_ids", ())),
        tokens=row.get("tokens", 0),
        finished=row.get("finished", True),
    )


def prediction_from_json(row: Mapping[str, Any]) -> Prediction:
    """The inverse of `to_json` for a prediction."""
    return Prediction(
        question_id=row["question_id"],
        answer=row["answer"],
        verdict=Verdict(row["verdict"]),
        rationales=tuple(rationale_from_json(r) for r in row["rationales"]),
        hits=tuple(Hit(**hit) for hit in row.get("hits", ())),
    )


def question_from_json(row: Mapping[str, Any]) -> Question:
    """The inverse of `to_json` for a question."""
    return Question(
        id=row["id"],
        task=row["task"],
        split=row["split"],
        text=row["text"],
        choices=tuple(row["choices"]),
        answer=row["answer"],
        meta=dict(row.get("meta", {})),
    )

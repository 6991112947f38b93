"""The passages that stood beside the test questions, with their texts, so that a report needs no index.

One row of `passages.jsonl`; an id means nothing without its index, since two arms may have cut one corpus differently:

    {"index": "0fb4b777888e", "id": "p-01692", "title": "Port Ardan", "text": "...", "right_for": ["q-aaeb7bf66b686"]}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tutelage.methods import Outcome
from tutelage.methods.jobs import Job
from tutelage.methods.knowledge import open_index
from tutelage.methods.result_parts.lookups import LookUp
from tutelage.runs import Json, read_jsonl, write_jsonl
from tutelage.types import Prediction, prediction_from_json

FILE = "passages.jsonl"
MOST_CHARACTERS = 5_000_000
"""Of all passages together: a report that carries more is no longer mailed."""


class Cited(NamedTuple):
    """What `passages.jsonl` amounts to."""

    summary: dict[str, Json]
    """Its path in the run folder, passages cited, and passages whose texts had room."""
    indexes: Mapping[str, str]
    """By the name of an arm the index that its passages come from, as it stands in the rows."""


def write_cited(folder: Path, look_ups: Sequence[LookUp], outcomes: Sequence[tuple[Job, Outcome]]) -> Cited | None:
    """Write every passage that a prediction cites once; None where nothing was looked up.

    Where they are too many, those that stood first come first and the rest are left out.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    indexes: dict[str, str] = {}
    for looked in look_ups:
        arms = {job.arm.name for job in looked.jobs}
        index = looked.knowledge.index().fingerprint[:12]
        indexes |= dict.fromkeys(arms, index)
        found = [_predictions(outcome) for job, outcome in outcomes if job.arm.name in arms]
        for row in _rows(looked, [p for predictions in found for p in predictions]):
            known = rows.setdefault((index, row["id"]), {"index": index, **row})
            known["right_for"] = sorted({*known["right_for"], *row["right_for"]})
    if not indexes:
        return None
    kept = list(_within(rows.values(), MOST_CHARACTERS))
    write_jsonl(folder / FILE, kept)
    return Cited({"path": FILE, "cited": len(rows), "kept": len(kept)}, indexes)


def _predictions(found: Outcome) -> list[Prediction]:
    return [prediction_from_json(row) for row in read_jsonl(found.score.folder / "predictions.jsonl")]


def _rows(looked: LookUp, predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Passages with their texts, those that stood first before those that stood second."""
    hits = sorted(((hit.rank, p.question_id, hit.passage_id) for p in predictions for hit in p.hits), key=_by_rank)
    right_for: dict[str, set[str]] = {}
    for _, question, passage in hits:
        right_for.setdefault(passage, set()).update({question} if passage in looked.right.get(question, ()) else ())
    settings, ids = looked.knowledge.settings, list(right_for)
    index = open_index(settings, looked.knowledge.index().folder)
    return [
        {"id": passage.id, "title": passage.title, "text": passage.text, "right_for": sorted(right_for[passage.id])}
        for passage in index.passages(ids)
    ]


def _by_rank(hit: tuple[int, str, str]) -> int:
    return hit[0]


def _within(rows: Iterable[dict[str, Any]], characters: int) -> Iterable[dict[str, Any]]:
    """The first rows whose texts have room together."""
    for row in rows:
        characters -= len(row["title"]) + len(row["text"])
        if characters < 0:
            return
        yield row

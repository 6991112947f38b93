"""What was trained for an arm and seed: seeds that share a part tell nothing of the chance there is in training it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tutelage.methods import Outcome
from tutelage.runs import Json, Stage, read_json

TRAINED = ("student", "mentor", "reranker")
"""Stages that training makes, by name; the name says what part they are."""


def trained_parts(found: Outcome, planned: Sequence[Stage]) -> dict[str, list[str]]:
    """The fingerprints of the trained parts that the answers of a job came from, by what they are.

    Followed from stage to stage by what each read. What an epoch was chosen with is left out: it chooses among states
    of one training. Empty for a model that was only asked.
    """
    known = {stage.fingerprint: stage for stage in planned}
    parts: dict[str, list[str]] = {}
    seen: set[str] = set()
    waiting = [found.score.fingerprint]
    while waiting:
        stage = known[waiting.pop()]
        if stage.fingerprint in seen:
            continue
        seen.add(stage.fingerprint)
        if stage.name in TRAINED:
            parts.setdefault(stage.name, []).append(stage.fingerprint[:12])
        waiting += [text for text in _read_by(stage) if text in known]
    return {part: sorted(parts[part]) for part in TRAINED if part in parts}


def _read_by(stage: Stage) -> Iterator[str]:
    inputs = read_json(stage.folder / "stage.json")["inputs"]
    if stage.name in (*TRAINED, "gate"):
        inputs = {key: value for key, value in inputs.items() if key != "beside"}
    return _texts(inputs)


def _texts(value: Json) -> Iterator[str]:
    """Every text inside a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)

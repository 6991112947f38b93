"""Which of the passages that a search found are the right ones: a reranker scores candidates for each question.

    reranker = load_reranker("late-interaction", "runs/x/reranker")
    best = rerank(reranker, ["Do woolly mammoths outlive forks?"], hits, passages, k=3)

A reranker looks closer than the search can afford to, at a few candidates only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tutelage.errors import RunError
from tutelage.plugins import resolve
from tutelage.types import Hit, Passage

RERANKERS: Mapping[str, str] = {
    "late-interaction": "tutelage.retrieval.late_interaction:LateInteraction",
    "cross-encoder": "tutelage.retrieval.cross_encoder:CrossEncoderReranker",
}
"""Rerankers by name. Each is called with a checkpoint, and with `device` by keyword."""


class Reranker(Protocol):
    """Something that says how well passages answer a question."""

    @property
    def name(self) -> str:
        """What kind it is, for reports."""
        ...

    @property
    def fingerprint(self) -> str:
        """What decides its scores, as hex digits or "hub:" and a name."""
        ...

    def scores(self, queries: Sequence[str], candidates: Sequence[Sequence[Passage]]) -> list[list[float]]:
        """For each query one score for each of its candidates, in the order given; larger is better."""
        ...


def load_reranker(name: str, source: str | Path, *, device: str = "auto", **settings: Any) -> Reranker:
    """The reranker of this kind ("late-interaction", "cross-encoder" or "package.module:Class") in a checkpoint.

    `source` is a folder that `train_reranker` wrote, any folder in the format of sentence-transformers, or a hub name.
    Raises PluginError for an unknown name and ModelError for a checkpoint that cannot be loaded.
    """
    target = resolve(name, RERANKERS, "reranker")
    made: Any = resolve(target, {}, "reranker") if isinstance(target, str) else target
    return made(source, device=device, **settings)


def rerank(
    reranker: Reranker,
    queries: Sequence[str],
    hits: Sequence[Sequence[Hit]],
    passages: Mapping[str, Passage],
    k: int,
) -> list[list[Hit]]:
    """For each query the `k` best of its hits with the reranker's scores, best first; equal scores by passage id.

    A passage that stands twice among the hits of a query counts once. Raises RunError for a hit without a passage.
    """
    ids = [list(dict.fromkeys(hit.passage_id for hit in found)) for found in hits]
    missing = sorted({i for found in ids for i in found} - passages.keys())
    if missing:
        raise RunError(
            f"{len(missing)} hits have no passage, e.g. {missing[0]!r}. Rerank with the corpus that was searched."
        )
    scores = reranker.scores(queries, [[passages[i] for i in found] for found in ids])
    return [_best(found, row, k) for found, row in zip(ids, scores, strict=True)]


def passage_text(passage: Passage) -> str:
    """A passage as an encoder reads it: its title, if it has one, and its text."""
    return f"{passage.title}. {passage.text}" if passage.title else passage.text


def _best(ids: Sequence[str], scores: Sequence[float], k: int) -> list[Hit]:
    ordered = sorted(zip(ids, scores, strict=True), key=lambda pair: (-pair[1], pair[0]))
    return [Hit(passage_id, score, rank) for rank, (passage_id, score) in enumerate(ordered[:k])]

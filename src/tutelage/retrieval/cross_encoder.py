"""A cross-encoder reads question and passage together (Nogueira and Cho 2019): closer, and slower for it.

It is the second choice: what it learns of a passage depends on the question, so nothing can be kept, and 100 candidates
are 100 readings for every question. Any checkpoint of sentence-transformers' `CrossEncoder` with one score will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tutelage.errors import ModelError
from tutelage.retrieval.late_interaction import device_name, fingerprint_of, load_trained, quietly, trained_model
from tutelage.retrieval.reranker import passage_text
from tutelage.types import Passage


class CrossEncoderReranker:
    """A cross-encoder in a folder of `train_reranker`, in any folder of sentence-transformers, or on the hub."""

    name = "cross-encoder"

    def __init__(self, source: str | Path, *, device: str = "auto", batch_size: int = 32) -> None:
        self.fingerprint = fingerprint_of(source)
        self.model = _load(str(trained_model(source) or source), device)
        self.batch_size = batch_size

    @classmethod
    def of(cls, model: Any, *, batch_size: int = 32) -> CrossEncoderReranker:
        """One around a `CrossEncoder` in memory, e.g. one that is being trained."""
        made = cls.__new__(cls)
        made.model, made.fingerprint, made.batch_size = model, "in memory", batch_size
        return made

    def scores(self, queries: Sequence[str], candidates: Sequence[Sequence[Passage]]) -> list[list[float]]:
        """The network's own score of each pair, before any sigmoid. All pairs share batches of similar length."""
        import torch

        pairs = [(q, passage_text(p)) for q, found in zip(queries, candidates, strict=True) for p in found]
        if not pairs:
            return [[] for _ in queries]
        with quietly():
            given: Any = self.model.predict(
                pairs, batch_size=self.batch_size, activation_fn=torch.nn.Identity(), show_progress_bar=False
            )
        scores = iter(given.tolist())
        return [[next(scores) for _ in found] for found in candidates]


def _load(source: str, device: str) -> Any:
    from sentence_transformers import CrossEncoder

    model = load_trained(lambda path: CrossEncoder(path, device=device_name(device)), source, ("CrossEncoder",))
    if model.num_labels != 1:
        raise ModelError(
            f"cross-encoder {source!r} gives {model.num_labels} numbers for a pair; expected one score. "
            "Choose one made for ranking, e.g. cross-encoder/ms-marco-MiniLM-L6-v2."
        )
    return model

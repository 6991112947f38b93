"""A cross-encoder while it learns: the same candidates, the same loss, question and passage read together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tutelage.retrieval.cross_encoder import CrossEncoderReranker
from tutelage.retrieval.reranker import passage_text
from tutelage.training.reranking.candidates import Ranking
from tutelage.training.reranking.losses import NOTHING
from tutelage.training.reranking.network import EncoderNetwork, places, read_base, teacher_scores, with_adapters
from tutelage.training.reranking.settings import RerankerSettings
from tutelage.types import Passage


class CrossEncoderNetwork(EncoderNetwork):
    """A `CrossEncoder` that scores drawn candidates."""

    @classmethod
    def new(cls, base: str, settings: RerankerSettings) -> CrossEncoderNetwork:
        """The encoder of `base` with a new layer that gives one score, and adapters."""
        from sentence_transformers import CrossEncoder

        reader = _reader(base, settings)
        if settings.lora:
            reader.model = with_adapters(reader.model, settings.lora, "SEQ_CLS")
        return cls(CrossEncoder(modules=[reader], device="cpu"))

    def forward(self, pairs: dict[str, Any], places_QK: Tensor) -> Tensor:
        """scores_QK of the pairs at these places; -inf where the place is -1."""
        scores_N = self.encoder(dict(pairs))["scores"].flatten()
        return scores_N[places_QK].masked_fill(places_QK < 0, NOTHING)

    def collate(self, rankings: Sequence[Ranking], passages: Mapping[str, Passage]) -> dict[str, Any]:
        """A batch: every question with every one of its candidates."""
        pairs = list(dict.fromkeys((r.query, i) for r in rankings for i in r.passage_ids))
        order = {pair: place for place, pair in enumerate(pairs)}
        texts = [(query, passage_text(passages[i])) for query, i in pairs]
        batch = {
            "pairs": dict(self.encoder.preprocess(texts)),
            "places_QK": places(rankings, order, lambda r, i: (r.query, i)),
        }
        return {"batch": batch, "teacher_QK": teacher_scores(rankings)}

    def reranker(self) -> CrossEncoderReranker:
        """The reranker that it is now, its weights shared."""
        return CrossEncoderReranker.of(self.encoder)


def _reader(base: str, settings: RerankerSettings) -> Any:
    """The module that turns a pair of texts into one score."""
    from sentence_transformers.base.modules import Transformer

    return read_base(
        base,
        lambda source, most: Transformer(
            source,
            transformer_task="sequence-classification",
            config_kwargs={"num_labels": 1},
            processor_kwargs={"model_max_length": min(settings.query_tokens + settings.passage_tokens, most)},
            model_kwargs={"dtype": torch.float32},
        ),
    )

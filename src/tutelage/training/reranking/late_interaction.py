"""Late interaction while it learns. One network reads questions and passages, and both readings are learnt from: the
published code says it updates both and then leaves the passages out (main.py:38, models/colbert.py:50-55).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.retrieval.late_interaction import LateInteraction
from tutelage.retrieval.reranker import passage_text
from tutelage.training.reranking.candidates import Ranking
from tutelage.training.reranking.losses import NOTHING
from tutelage.training.reranking.network import EncoderNetwork, places, read_base, teacher_scores, with_adapters
from tutelage.training.reranking.settings import RerankerSettings
from tutelage.types import Passage

TOGETHER = 32
"""Passages in one reading of the network."""


class LateInteractionNetwork(EncoderNetwork):
    """A `MultiVectorEncoder` that scores drawn candidates."""

    @classmethod
    def new(cls, base: str, settings: RerankerSettings) -> LateInteractionNetwork:
        """The encoder of `base`, a layer that turns its vectors, and adapters."""
        from sentence_transformers import MultiVectorEncoder
        from sentence_transformers.base.modules import Normalize
        from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

        reader = _reader(base, settings)
        modules: list[nn.Module] = [reader]
        if settings.dimension:
            modules.append(_projection(reader.get_embedding_dimension(), settings.dimension))
        modules.append(MultiVectorMask())
        if settings.normalize:
            modules.append(Normalize(module_input_name="token_embeddings"))
        if settings.lora:
            reader.model = with_adapters(reader.model, settings.lora, "FEATURE_EXTRACTION")
        return cls(MultiVectorEncoder(modules=modules, device="cpu"))

    def forward(self, queries: dict[str, Any], passages: list[dict[str, Any]], places_QK: Tensor) -> Tensor:
        """scores_QK: MaxSim of each query with the passages at its places; -inf where the place is -1."""
        from sentence_transformers.multi_vector_encoder.scoring import colbert_kd_scores
        from sentence_transformers.util import cat_padded_token_embeddings

        query = self.encoder(dict(queries), task="query")
        read = [self.encoder(dict(some), task="document") for some in passages]
        passage_NTH, there_NT = cat_padded_token_embeddings(
            [some["token_embeddings"].float() for some in read], [some["attention_mask"].bool() for some in read]
        )
        with torch.autocast(places_QK.device.type, enabled=False):  # sums of many products: in float32 whatever else is
            scores_QK = colbert_kd_scores(
                query["token_embeddings"].float(),
                passage_NTH[places_QK],
                queries_mask=query["attention_mask"].bool(),
                documents_mask=there_NT[places_QK],
            )
        return scores_QK.masked_fill(places_QK < 0, NOTHING)

    def collate(self, rankings: Sequence[Ranking], passages: Mapping[str, Passage]) -> dict[str, Any]:
        """A batch: each passage is encoded once, however many of the questions have it as a candidate.

        Passages of similar length go together, since one of 500 tokens would pad a hundred of 150.
        """
        texts = {i: passage_text(passages[i]) for ranking in rankings for i in ranking.passage_ids}
        ids = sorted(texts, key=lambda i: (len(texts[i]), i))
        order = {i: place for place, i in enumerate(ids)}
        parts = [ids[start : start + TOGETHER] for start in range(0, len(ids), TOGETHER)]
        batch = {
            "queries": dict(self.encoder.preprocess([r.query for r in rankings], task="query")),
            "passages": [dict(self.encoder.preprocess([texts[i] for i in part], task="document")) for part in parts],
            "places_QK": places(rankings, order, lambda _, i: i),
        }
        return {"batch": batch, "teacher_QK": teacher_scores(rankings)}

    def reranker(self) -> LateInteraction:
        """The reranker that it is now, its weights shared."""
        return LateInteraction.of(self.encoder)


def _reader(base: str, settings: RerankerSettings) -> Any:
    """The module that turns texts into one vector a token."""
    from sentence_transformers.base.modules import Transformer

    return read_base(
        base,
        lambda source, most: Transformer(
            source,
            query_length=min(settings.query_tokens, most),
            document_length=min(settings.passage_tokens, most),
            model_kwargs={"dtype": torch.float32},
        ),
    )


def _projection(width: int, dimension: int) -> nn.Module:
    """A layer that begins as a rotation, so that the encoder's own notion of likeness is not lost."""
    from sentence_transformers.base.modules import Dense

    return Dense(
        width,
        dimension,
        bias=False,
        activation_function=nn.Identity(),
        init_weight=nn.init.orthogonal_(torch.empty(dimension, width)),
        module_input_name="token_embeddings",
    )

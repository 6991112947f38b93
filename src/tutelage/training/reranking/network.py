"""An encoder on its way to be a late-interaction reranker: how it begins, how it scores, how it is kept.

Any Hugging Face encoder will do: BERT and its like, or the encoder half of a T5. One network reads questions and
passages, and both readings are learnt from: the published code says it updates both and then leaves the passages out
(main.py:38, models/colbert.py:50-55).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.checkpoints import locate
from tutelage.errors import ModelError
from tutelage.models import LoraSettings
from tutelage.retrieval.reranker import passage_text
from tutelage.training.reranking.candidates import Ranking
from tutelage.training.reranking.losses import NOTHING
from tutelage.training.reranking.settings import RerankerSettings
from tutelage.types import Passage

ENCODER_HALVES = ("t5", "mt5", "umt5", "longt5", "t5gemma")
"""Encoder-decoders whose encoder sentence-transformers loads alone."""


class LateInteractionNetwork(nn.Module):
    """A `MultiVectorEncoder` that scores drawn candidates."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, queries: dict[str, Tensor], passages: dict[str, Tensor], places_QK: Tensor) -> Tensor:
        """scores_QK: MaxSim of each query with the passages at its places; -inf where the place is -1."""
        from sentence_transformers.multi_vector_encoder.scoring import colbert_kd_scores

        query = self.encoder(dict(queries), task="query")
        passage = self.encoder(dict(passages), task="document")
        scores_QK = colbert_kd_scores(
            query["token_embeddings"],
            passage["token_embeddings"][places_QK],
            queries_mask=query["attention_mask"].bool(),
            documents_mask=passage["attention_mask"].bool()[places_QK],
        )
        return scores_QK.masked_fill(places_QK < 0, NOTHING)

    def collate(self, rankings: Sequence[Ranking], passages: Mapping[str, Passage]) -> dict[str, Any]:
        """A batch: each passage is encoded once, however many of the questions have it as a candidate."""
        ids = list(dict.fromkeys(i for ranking in rankings for i in ranking.passage_ids))
        places, most = {i: place for place, i in enumerate(ids)}, max(len(r.passage_ids) for r in rankings)
        gaps = [most - len(r.passage_ids) for r in rankings]
        return {
            "queries": self._features([r.query for r in rankings], "query"),
            "passages": self._features([passage_text(passages[i]) for i in ids], "document"),
            "places_QK": torch.tensor(
                [[places[i] for i in r.passage_ids] + [-1] * gap for r, gap in zip(rankings, gaps, strict=True)]
            ),
            "teacher_QK": torch.tensor(
                [[*r.scores, *[NOTHING] * gap] for r, gap in zip(rankings, gaps, strict=True)], dtype=torch.float32
            ),
        }

    def _features(self, texts: list[str], task: str) -> dict[str, Any]:
        return dict(self.encoder.preprocess(texts, task=task))

    def keep(self, folder: Path) -> None:
        """Write it as an ordinary sentence-transformers folder, adapters merged: loading it needs no base."""
        reader = self.encoder[0]
        if hasattr(reader.model, "merge_and_unload"):
            reader.model = reader.model.merge_and_unload()
        self.encoder.save_pretrained(str(folder), create_model_card=False)


def new_network(base: str | Path, settings: RerankerSettings, *, seed: int) -> LateInteractionNetwork:
    """A network around the encoder of `base`. `seed` decides the first weights of the added layer and the adapters.

    Raises ModelError for a checkpoint that is not there or does not encode.
    """
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense, Normalize
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        reader = _reader(str(base), settings)
        modules: list[nn.Module] = [reader]
        if settings.dimension:
            modules.append(
                Dense(
                    reader.get_embedding_dimension(),
                    settings.dimension,
                    bias=False,
                    activation_function=nn.Identity(),
                    init_weight=_turn(reader.get_embedding_dimension(), settings.dimension),
                    module_input_name="token_embeddings",
                )
            )
        modules.append(MultiVectorMask())
        if settings.normalize:
            modules.append(Normalize(module_input_name="token_embeddings"))
        if settings.lora:
            reader.model = _with_adapters(reader.model, settings.lora)
        return LateInteractionNetwork(MultiVectorEncoder(modules=modules, device="cpu"))


def _reader(name: str, settings: RerankerSettings) -> Any:
    """The module that turns texts into one vector a token."""
    from sentence_transformers.base.modules import Transformer
    from transformers import AutoConfig

    source = str(locate(name) or name)
    try:
        config = AutoConfig.from_pretrained(source)
        _check_encodes(config, name)
        most = getattr(config, "max_position_embeddings", None) or 10**6
        return Transformer(
            source,
            query_length=min(settings.query_tokens, most),
            document_length=min(settings.passage_tokens, most),
            model_kwargs={"dtype": torch.float32},
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"model {name!r} cannot be loaded as an encoder: {reason}") from error


def _check_encodes(config: Any, name: str) -> None:
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    kind = config.model_type
    writes = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if writes or (getattr(config, "is_encoder_decoder", False) and kind not in ENCODER_HALVES):
        raise ModelError(
            f"model {name!r} is a {kind}, whose words do not look at what follows them. A reranker needs an encoder: "
            "BERT or its like (michiyasunaga/LinkBERT-base), or a T5, of which it takes the encoder half."
        )


def _turn(width: int, dimension: int) -> Tensor:
    """First weights of the added layer: a rotation, so that the encoder's own notion of likeness is not lost."""
    return nn.init.orthogonal_(torch.empty(dimension, width))


def _with_adapters(model: Any, lora: LoraSettings) -> Any:
    from peft import LoraConfig, get_peft_model
    from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as DEFAULTS

    targets: Any = list(lora.targets) if lora.targets else DEFAULTS.get(model.config.model_type, "all-linear")
    config = LoraConfig(
        task_type="FEATURE_EXTRACTION",
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise ModelError(f"lora.targets: {error}") from error

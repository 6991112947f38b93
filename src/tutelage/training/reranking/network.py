"""A network on its way to be a reranker: what training asks of it, and how it begins.

Any Hugging Face encoder will do: BERT and its like, or the encoder half of a T5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from tutelage.checkpoints import describe, locate
from tutelage.errors import ModelError
from tutelage.models import LoraSettings, check_untied
from tutelage.plugins import resolve
from tutelage.retrieval.late_interaction import quietly
from tutelage.retrieval.reranker import Reranker
from tutelage.training.reranking.candidates import Ranking
from tutelage.training.reranking.losses import NOTHING
from tutelage.training.reranking.settings import RerankerSettings
from tutelage.types import Passage

NETWORKS: Mapping[str, str] = {
    "late-interaction": "tutelage.training.reranking.late_interaction:LateInteractionNetwork",
    "cross-encoder": "tutelage.training.reranking.cross_encoder:CrossEncoderNetwork",
}
"""Networks by the name of the reranker that they become."""

ENCODER_HALVES = ("t5", "mt5", "umt5", "longt5", "t5gemma")
"""Encoder-decoders whose encoder sentence-transformers loads alone."""


class Network(Protocol):
    """A torch module that gives scores_QK for a batch."""

    def __call__(self, **batch: Any) -> Tensor:
        """scores_QK of the drawn candidates; -inf where a ranking has fewer."""
        ...

    def collate(self, rankings: Sequence[Ranking], passages: Mapping[str, Passage]) -> dict[str, Any]:
        """The batch that `__call__` takes."""
        ...

    def reranker(self) -> Reranker:
        """The reranker that it is now, its weights shared."""
        ...

    def keep(self, folder: Path) -> None:
        """Write it as an ordinary sentence-transformers folder, adapters merged: loading it needs no base."""
        ...


class EncoderNetwork(nn.Module):
    """A network around a sentence-transformers model, whose first module holds the encoder with its adapters."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def keep(self, folder: Path) -> None:
        """See `Network.keep`."""
        with quietly():
            merge_adapters(self.encoder[0])
            self.encoder.save_pretrained(str(folder), create_model_card=False)


def new_network(base: str | Path, settings: RerankerSettings, *, seed: int) -> Any:
    """A network around the encoder of `base`. `seed` decides first weights that the base does not have.

    Raises ModelError for a checkpoint that is not there or does not encode.
    """
    made = resolve(resolve(settings.kind, NETWORKS, "kind of reranker"), {}, "kind of reranker")
    with torch.random.fork_rng(), quietly():
        torch.manual_seed(seed)
        return made.new(str(base), settings)


def read_base(name: str, make: Callable[[str, int], Any]) -> Any:
    """What `make` makes of a base, given its folder or hub name and how many tokens it can read."""
    from safetensors import SafetensorError

    config = read_config(name)
    try:
        return make(str(locate(name) or name), getattr(config, "max_position_embeddings", None) or 10**6)
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        raise _no_encoder(name, error) from error


def read_config(name: str) -> Any:
    """The configuration of a base. Raises ModelError where it is not there, or not that of an encoder."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(str(describe(name) or name))
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise _no_encoder(name, error) from error
    check_encodes(config, name)
    return config


def _no_encoder(name: str, error: Exception) -> ModelError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ModelError(f"model {name!r} cannot be loaded as an encoder: {reason}")


def check_encodes(config: Any, name: str) -> None:
    """Raise ModelError for an architecture that reads from left to right only, or whose encoder cannot be had alone."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    kind = config.model_type
    only_writes = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if only_writes or (getattr(config, "is_encoder_decoder", False) and kind not in ENCODER_HALVES):
        raise ModelError(
            f"model {name!r} is a {kind}, which has no encoder that can be used alone. A reranker needs one: BERT or "
            "its like (michiyasunaga/LinkBERT-base), or a T5, of which it takes the encoder half."
        )


def with_adapters(model: Any, lora: LoraSettings, task: str) -> Any:
    """The model with low-rank adapters, on its query and value layers unless `targets` says otherwise."""
    from peft import LoraConfig, get_peft_model
    from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as DEFAULTS

    targets: Any = list(lora.targets) if lora.targets else DEFAULTS.get(model.config.model_type, "all-linear")
    config = LoraConfig(
        task_type=task, r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets
    )
    try:
        adapted = get_peft_model(model, config)
    except ValueError as error:
        raise ModelError(f"lora.targets: {error}") from error
    check_untied(adapted)
    return adapted


def merge_adapters(reader: Any) -> None:
    """Put what the adapters learnt into the weights themselves."""
    if hasattr(reader.model, "merge_and_unload"):
        reader.model = reader.model.merge_and_unload()


def teacher_scores(rankings: Sequence[Ranking]) -> Tensor:
    """scores_QK of the teacher; -inf where a ranking has fewer candidates than another of the batch."""
    rows = _filled([list(ranking.scores) for ranking in rankings], NOTHING)
    return torch.tensor(rows, dtype=torch.float32)


def places(rankings: Sequence[Ranking], order: Mapping[Any, int], key: Callable[[Ranking, str], Any]) -> Tensor:
    """places_QK: where in a batch each candidate is; -1 where a ranking has fewer."""
    return torch.tensor(_filled([[order[key(r, i)] for i in r.passage_ids] for r in rankings], -1))


def _filled(rows: list[list[Any]], filler: Any) -> list[list[Any]]:
    longest = max(len(row) for row in rows)
    return [row + [filler] * (longest - len(row)) for row in rows]

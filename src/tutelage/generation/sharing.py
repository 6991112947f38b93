"""Attention to a prompt that several rows share: its keys and values stand once for all samples of a question.

Copied for each sample they are read for each, and reading them is what attention takes in a step of one token. Here the
rows of a question become the queries of one row:

    rows       q-1 q-1 q-1 q-2 q-2          their places     0 1 2 3 4
    queries    [q-1 q-1 q-1] [q-2 q-2 -]    a gap where a question has fewer rows left

For encoder-decoder networks that choose their attention by name, as those of `transformers` do. Others are found out by
what they attend to first, before any keys are shared.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from transformers import AttentionInterface
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from tutelage.models import LanguageModel

PLAIN, SHARING = "sdpa", "tutelage-sharing"


class Rows(NamedTuple):
    """Which rows share a prompt."""

    asked: Tensor
    """(B) The prompt of each row, as a row of the keys."""
    places: Tensor
    """(B) Where a row's query stands: `most` places for each prompt."""
    firsts: Tensor
    """(P) One row of each prompt."""
    most: int
    """How many rows a prompt has at most."""

    @classmethod
    def of(cls, asked_B: Tensor) -> Rows:
        """From each row's prompt; every prompt has a row."""
        order_B = asked_B.argsort(stable=True)
        counts_P = asked_B.bincount()
        starts_P = counts_P.cumsum(0) - counts_P
        most = int(counts_P.max())
        slots_B = torch.empty_like(order_B)
        slots_B[order_B] = torch.arange(len(order_B), device=asked_B.device) - starts_P[asked_B[order_B]]
        return cls(asked_B, asked_B * most + slots_B, order_B[starts_P], most)


@contextmanager
def sharing(lm: LanguageModel) -> Iterator[None]:
    """Let an encoder-decoder attend to shared keys too, for the time being."""
    changed = _configs(lm) if lm.kind == "encoder-decoder" else []
    for config in changed:
        config._attn_implementation = SHARING
    try:
        yield
    finally:
        for config in changed:
            config._attn_implementation = PLAIN


def share(cache: Any, prompts_P: Tensor, asked_B: Tensor) -> None:
    """Keep the keys of these prompts only, once each, and tell them which of them each row reads."""
    rows = Rows.of(asked_B)
    for layer in cache.cross_attention_cache.layers:
        if len(prompts_P) < len(layer.keys):
            layer.keys, layer.values = layer.keys[prompts_P], layer.values[prompts_P]
        layer.keys.rows = rows


def is_shareable(cache: Any) -> bool:
    """Whether a filled cache holds keys of prompts, and all of them have been attended to here."""
    crossed = getattr(cache, "cross_attention_cache", None)
    return crossed is not None and all(
        type(layer) is DynamicLayer and getattr(layer.keys, "attended", False) for layer in crossed.layers
    )


def attend(module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **given: Any) -> Any:
    """Plain attention, but for keys that know their rows: these are read once for all of them."""
    rows: Rows | None = getattr(key, "rows", None)
    if rows is None:
        key.attended = True  # pyright: ignore
        return sdpa_attention_forward(module, query, key, value, attention_mask, **given)
    if getattr(module, "num_key_value_groups", 1) > 1 or getattr(module, "has_relative_attention_bias", False):
        key, value = key[rows.asked], value[rows.asked]
        return sdpa_attention_forward(module, query, key, value, attention_mask, **given)
    prompts, (_, heads, steps, width) = len(key), query.shape
    spread = query.new_zeros(prompts * rows.most, heads, steps, width).index_copy_(0, rows.places, query)
    query = spread.view(prompts, rows.most, heads, steps, width).transpose(1, 2).reshape(prompts, heads, -1, width)
    mask = None if attention_mask is None else attention_mask[rows.firsts]
    if mask is not None and mask.shape[2] > 1:  # one for each of a row's tokens
        mask = mask.repeat(1, 1, rows.most, 1)
    out = F.scaled_dot_product_attention(query, key, value, mask, scale=given.get("scaling"))
    out = out.view(prompts, heads, rows.most, steps, -1).permute(0, 2, 3, 1, 4)
    return out.reshape(prompts * rows.most, steps, heads, -1)[rows.places], None


AttentionInterface.register(SHARING, attend)
AttentionMaskInterface.register(SHARING, sdpa_mask)


def _configs(lm: LanguageModel) -> list[Any]:
    found = {id(module.config): module.config for module in lm.model.modules() if hasattr(module, "config")}
    return [config for config in found.values() if getattr(config, "_attn_implementation", None) == PLAIN]

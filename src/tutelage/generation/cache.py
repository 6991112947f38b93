"""A cache of keys and values with spare places, so that a step writes one token instead of copying all before it.

The layers of `transformers` grow by concatenation: with short steps of a small network that took as long as attention.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.cache_utils import DynamicLayer

SPARE = 32
"""Tokens for which a layer makes place at once."""


class RoomyLayer(DynamicLayer):
    """A filled layer that goes on with spare places. Its keys and values are views of what has been written."""

    keys: Tensor  # never None in a filled layer
    values: Tensor

    def __init__(self, filled: Any) -> None:
        super().__init__()
        self.lazy_initialization(filled.keys, filled.values)
        self.keys, self.values = filled.keys, filled.values
        self.places: list[Tensor] | None = None
        """Keys and values with the places that are still empty, (B, heads, places, width)."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write the new keys and values behind the old, and give all of them."""
        begin = self.keys.shape[2]
        end = begin + key_states.shape[2]
        if self.places is None or self.places[0].shape[2] < end:
            self.places = [_widened(held, end + SPARE) for held in (self.keys, self.values)]
        for places, new in zip(self.places, (key_states, value_states), strict=True):
            places[:, :, begin:end] = new
        self.keys, self.values = (places[:, :, :end] for places in self.places)
        return self.keys, self.values

    def reorder_cache(self, beam_idx: Any) -> None:
        """Take other rows. They are copied without their spare places."""
        super().reorder_cache(beam_idx)
        self.places = None


def _widened(held: Tensor, places: int) -> Tensor:
    wide = held.new_empty(*held.shape[:2], places, held.shape[3])
    wide[:, :, : held.shape[2]] = held
    return wide


def make_roomy(cache: Any) -> None:
    """Give spare places to every plain layer of a filled cache that grows. Others, e.g. sliding windows, stay."""
    growing = getattr(cache, "self_attention_cache", cache)
    growing.layers = [
        RoomyLayer(layer) if type(layer) is DynamicLayer and layer.is_initialized else layer for layer in growing.layers
    ]

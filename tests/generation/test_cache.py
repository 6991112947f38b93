"""Spare places in the cache: what attention sees is what concatenation gives."""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicSlidingWindowLayer

from tutelage.generation import cache as module
from tutelage.generation.cache import RoomyLayer, make_roomy


def states(tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(4, 2, tokens, 3), torch.randn(4, 2, tokens, 3)


def test_keys_and_values_are_those_of_concatenation():
    """A key at the wrong place is attended to as another token."""
    torch.manual_seed(0)
    plain: Any = DynamicCache()
    roomy: Any = DynamicCache()
    for tokens in (5, 1, 1, 3, module.SPARE + 1, 1):
        keys, values = states(tokens)
        for found, expected in zip(roomy.update(keys, values, 0), plain.update(keys, values, 0), strict=True):
            assert torch.equal(found, expected)
        if tokens == 5:
            make_roomy(roomy)
        if tokens == 3:
            for cache in (plain, roomy):
                cache.reorder_cache(torch.tensor([2, 0, 0, 3]))
    assert isinstance(roomy.layers[0], RoomyLayer)
    assert roomy.get_seq_length() == plain.get_seq_length()


def test_a_step_writes_into_the_place_it_has():
    """Copying the whole cache at every step took as long as attention."""
    cache: Any = DynamicCache()
    cache.update(*states(5), 0)
    make_roomy(cache)
    places = {cache.update(*states(1), 0)[0].data_ptr() for _ in range(module.SPARE)}
    assert len(places) == 1


def test_other_layers_stay():
    """A sliding window forgets; with spare places it would remember everything."""
    cache: Any = DynamicCache()
    cache.layers = [DynamicSlidingWindowLayer(sliding_window=4)]
    cache.layer_class_to_replicate = None
    cache.update(*states(5), 0)
    make_roomy(cache)
    assert type(cache.layers[0]) is DynamicSlidingWindowLayer

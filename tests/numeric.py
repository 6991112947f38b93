"""Closeness of sums, judged by the size of what was added up.

Processors add up in different orders, and each order rounds differently. How far two of them are apart follows from the
summed terms: 1000.0 - 999.9 carries the rounding of a thousand, though the result is 0.1. A tolerance relative to the
result is therefore met on one processor and missed on the next. Here it is relative to the terms.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import rms_norm

SINGLE = 2e-6
"""Of the terms' size, in single precision: about 16 roundings, one for each of 16² terms of random sign."""


def assert_sums_close(found: Any, expected: Any, terms: Any, share: float = SINGLE) -> None:
    """`found` and `expected`, of the same shape, differ by at most `share` of `terms` everywhere.

    `terms` is the sum of the magnitudes of what was added up, of each result or, broadcast, of all of them.
    """
    mine, theirs, size = (_numbers(value) for value in (found, expected, terms))
    assert mine.shape == theirs.shape
    apart, allowed = np.abs(mine - theirs), np.broadcast_to(share * size, mine.shape)
    worst = tuple(map(int, np.unravel_index(np.argmax(apart - allowed), mine.shape))) if mine.size else ()
    assert np.all(apart <= allowed), f"at {worst}: {mine[worst]} and {theirs[worst]}, {allowed[worst]:.3g} allowed"


def in_double(model: torch.nn.Module) -> None:
    """Compute in double precision throughout; by itself T5 takes its norms in single precision."""
    from transformers.models.t5.modeling_t5 import T5LayerNorm

    for module in model.double().modules():
        if isinstance(module, T5LayerNorm):
            shape, weight, eps = module.weight.shape, module.weight, module.variance_epsilon
            module.__dict__["forward"] = partial(rms_norm, normalized_shape=list(shape), weight=weight, eps=eps)


def _numbers(value: Any) -> NDArray[np.float64]:
    if isinstance(value, torch.Tensor):
        value = value.detach().double().numpy()
    return np.asarray(value, dtype=np.float64)

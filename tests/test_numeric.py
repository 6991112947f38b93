"""Closeness at the scale of the terms: what rounds is let through, what is wrong is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from numeric import assert_sums_close, in_double


def test_rounding_of_terms_that_cancel_is_let_through():
    """Relative to the result it looks like a fault: 1,000,000 + 0.1 - 1,000,000 is 0.125 in single precision."""
    terms = np.array([[1e6, 0.1, -1e6], [1.0, 2.0, 3.0]], dtype=np.float32)
    found, exact = np.add.reduce(terms, axis=1, dtype=np.float32), terms.astype(np.float64).sum(1)
    assert abs(found[0] - exact[0]) > 0.1 * exact[0]
    assert_sums_close(found, exact, np.abs(terms).sum(1))


def test_a_difference_larger_than_rounding_is_not():
    """Each result by its own terms: those of a large neighbour would hide it."""
    with pytest.raises(AssertionError, match=r"at \(1,\): 6\.5 and 6\.0"):
        assert_sums_close(torch.tensor([0.125, 6.5]), [0.1, 6.0], [2e6, 6.0])


def test_a_t5_in_double_precision_rounds_nowhere_to_single():
    """Its norms by themselves would: batches of other shapes then write other texts."""
    torch.manual_seed(0)
    config = T5Config(vocab_size=20, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    model: Any = T5ForConditionalGeneration(config).eval()
    norm, x = model.encoder.block[0].layer[0].layer_norm, torch.rand(1, 8, dtype=torch.float64)
    exact = x / (x.square().mean() + config.layer_norm_epsilon).sqrt()
    with torch.no_grad():
        assert float((norm.double()(x) - exact).abs().max()) > 1e-12
        in_double(model)
        assert float((norm(x) - exact).abs().max()) < 1e-14

"""Seeded numbers: the same for the same key, and spread evenly."""

from __future__ import annotations

import torch

from tutelage.seeds import uniforms


def test_a_key_decides_its_numbers():
    """A text or a soft label that is made again after a crash must be the one that was lost."""
    state = torch.random.get_rng_state()
    first = uniforms("4 0 [71]", 3, 2)
    assert torch.equal(first, uniforms("4 0 [71]", 3, 2))
    assert torch.equal(first.flatten(), uniforms("4 0 [71]", 6))
    assert not torch.equal(first, uniforms("4 1 [71]", 3, 2))
    assert torch.equal(state, torch.random.get_rng_state())


def test_numbers_are_spread_evenly_over_keys():
    """Samples of one prompt differ in their key only; alike in their first numbers they would begin alike."""
    firsts = torch.stack([uniforms(f"1 {sample} [5, 6]", 1) for sample in range(2000)])
    assert firsts.dtype == torch.float64
    assert 0 <= firsts.min() < 0.01
    assert 0.99 < firsts.max() < 1
    shares = torch.histc(firsts, 10, 0, 1) / 2000
    torch.testing.assert_close(shares, torch.full((10,), 0.1, dtype=torch.float64), atol=0.03, rtol=0)

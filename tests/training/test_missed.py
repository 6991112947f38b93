"""What a top k leaves out: the same as the divergences that are trained on say, for every k."""

from __future__ import annotations

import pytest
import torch

from tutelage.training.divergences import kl, over_stored, over_tokens
from tutelage.training.missed import Missed, MissedSums

WIDTH = 30


def logits(seed: int, scale: float) -> torch.Tensor:
    """Of ten positions, in double precision, with three columns that name no token."""
    return scale * torch.randn(10, WIDTH + 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_missed_is_the_divergence_over_tokens_less_that_over_buckets(
    temperature: float, monkeypatch: pytest.MonkeyPatch
):
    """For each k, with the very functions of the loss."""
    monkeypatch.setattr("tutelage.training.missed.AT_ONCE", 4 * WIDTH)
    mentor, student = logits(1, 3.0), logits(2, 2.0)
    sums = MissedSums(WIDTH, temperature)
    sums.add(mentor, student)
    found = sums.result()
    labels = torch.zeros(10, dtype=torch.long)
    log_p = (mentor[:, :WIDTH] / temperature).log_softmax(-1)
    whole = kl(log_p, over_tokens(student, labels, temperature=temperature, width=WIDTH).log_q).sum()
    for k in range(1, WIDTH):
        ids = log_p.topk(k).indices
        given = {"temperature": temperature, "width": WIDTH, "tail": True}
        buckets_p = over_stored(mentor, labels, ids, **given).log_q
        buckets = kl(buckets_p, over_stored(student, labels, ids, **given).log_q).sum()
        assert float(found.share[k - 1]) == pytest.approx(float(1 - buckets / whole), abs=1e-9)
        assert float(found.tail[k - 1]) == pytest.approx(float(buckets_p[:, -1].exp().mean()), abs=1e-9)
    assert float(found.share[-1]) == float(found.tail[-1]) == 0
    assert found.divergence == pytest.approx(float(whole) / 10)
    assert (found.share.diff() <= 1e-12).all(), "more buckets never say less"


def test_a_mentor_that_is_certain_misses_nothing():
    """Probabilities of zero have no logarithm."""
    mentor = torch.full((2, WIDTH), -1e4)
    mentor[:, 3] = 0.0
    sums = MissedSums(WIDTH, 1.0)
    sums.add(mentor, None)
    found = sums.result()
    assert not found.share.any()
    assert found.smallest(0.0) == 1


@pytest.mark.parametrize(("bound", "k"), [(0.0, 4), (0.1, 3), (0.3, 2), (0.6, 1), (1.0, 1)])
def test_the_smallest_k(bound: float, k: int):
    """By hand."""
    share = torch.tensor([0.5, 0.3, 0.1, 0.0], dtype=torch.float64)
    missed = Missed(share, share / 2, 2.0, 7)
    assert missed.smallest(bound) == k
    assert missed.at(k)["missed"] <= bound
    assert missed.at(None)["missed"] == missed.at(9)["missed"] == 0

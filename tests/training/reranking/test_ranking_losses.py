"""Losses over candidates against hand calculations and an independent library."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy

from tutelage.errors import PluginError
from tutelage.training.reranking.losses import NOTHING, ce, kl, ranking_loss


def test_kl_by_hand():
    """Teacher (3/4, 1/4) against an undecided reranker: 3/4 ln 3/2 + 1/4 ln 1/2 = 0.130812."""
    teacher = torch.tensor([[math.log(3.0), 0.0]])
    found = kl(torch.zeros(1, 2), teacher)
    assert found.sum.item() == pytest.approx(0.130812, abs=1e-6)
    assert found.count.item() == 1


def test_kl_is_scipys_relative_entropy():
    """An own formula can be wrong in both the code and the hand calculation."""
    torch.manual_seed(0)
    scores, teacher = torch.randn(5, 8, dtype=torch.float64), 3 * torch.randn(5, 8, dtype=torch.float64)
    expected = entropy(softmax(teacher.numpy(), axis=1), softmax(scores.numpy(), axis=1), axis=1).sum()
    assert kl(scores, teacher).sum.item() == pytest.approx(expected)


def test_kl_is_from_the_teacher_to_the_reranker():
    """The other direction lets a reranker ignore passages that the teacher wants."""
    sure, unsure = torch.tensor([[9.0, 0.0]]), torch.zeros(1, 2)
    assert kl(unsure, sure).sum.item() == pytest.approx(math.log(2), abs=2e-3)
    assert kl(sure, unsure).sum.item() > 3


def test_ce_by_hand():
    """ln(1 + e) - 1 for scores 1 and 0 when the teacher prefers the first; ties go to the first."""
    scores = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    found = ce(scores, torch.tensor([[7.0, 2.0], [4.0, 4.0]]))
    first, second = math.log(1 + math.e) - 1, math.log(1 + math.e)
    assert found.sum.item() == pytest.approx(first + second)
    assert found.count.item() == 2


@pytest.mark.parametrize("loss", [kl, ce])
def test_an_empty_place_changes_neither_loss_nor_gradient(loss):
    """A longer neighbour in the batch must not teach a short ranking anything."""
    short = torch.tensor([[0.3, -0.2, 1.0]], requires_grad=True)
    teacher = torch.tensor([[5.0, 1.0, 0.0]])
    alone = loss(short, teacher).sum
    alone.backward()
    padded = torch.tensor([[0.3, -0.2, 1.0, NOTHING, NOTHING]], requires_grad=True)
    beside = loss(padded, torch.tensor([[5.0, 1.0, 0.0, NOTHING, NOTHING]])).sum
    beside.backward()
    assert beside.item() == pytest.approx(alone.item())
    assert short.grad is not None
    assert padded.grad is not None
    torch.testing.assert_close(padded.grad[:, :3], short.grad)
    assert padded.grad[0, 3:].tolist() == [0.0, 0.0]


def test_a_teacher_that_is_certain_is_no_nan():
    """BM25 scores lie a hundred apart: e^-100 is 0 in float32 and 0 times its logarithm must be 0."""
    scores = torch.zeros(1, 3, requires_grad=True)
    loss = kl(scores, torch.tensor([[500.0, 0.0, -900.0]])).sum
    loss.backward()
    assert loss.item() == pytest.approx(math.log(3))
    assert torch.isfinite(scores.grad).all()  # pyright: ignore[reportArgumentType]


def test_an_unknown_loss_lists_the_known_ones():
    """A typo is found before the search space is made."""
    with pytest.raises(PluginError, match=r"kl"):
        ranking_loss("kll")

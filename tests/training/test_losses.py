"""Cross-entropy as a sum and a count."""

from __future__ import annotations

import math

import torch

from tutelage.training.losses import cross_entropy

# Three tokens of vocabulary; the softmax of (0, ln 2, ln 5) is (1/8, 2/8, 5/8).
LOGITS_V = [0.0, math.log(2), math.log(5)]


def test_equals_a_hand_calculation():
    """Everything else is built on this number: -ln 2/8 - ln 5/8 over two tokens."""
    logits_BTV = torch.tensor([[LOGITS_V, LOGITS_V, LOGITS_V]])
    loss = cross_entropy(logits_BTV, torch.tensor([[1, 2, -100]]))
    assert math.isclose(float(loss.sum), math.log(8 / 2) + math.log(8 / 5), rel_tol=1e-6)
    assert int(loss.count) == 2


def test_weights_scale_sum_and_count_alike():
    """A row of weight 2 must count as two rows, not as a louder one."""
    logits_BTV = torch.tensor([[LOGITS_V, LOGITS_V], [LOGITS_V, LOGITS_V]])
    labels_BT = torch.tensor([[1, -100], [2, 0]])
    loss = cross_entropy(logits_BTV, labels_BT, torch.tensor([2.0, 1.0]))
    assert math.isclose(float(loss.sum), 2 * math.log(4) + math.log(8 / 5) + math.log(8), rel_tol=1e-6)
    assert float(loss.count) == 4.0


def test_padding_changes_nothing():
    """A longer neighbour in the batch must not change an example's loss, or short rationales are under-taught."""
    logits_BTV, labels_BT = torch.randn(2, 4, 7), torch.tensor([[3, 1, -100, -100], [2, 0, 5, 6]])
    together = cross_entropy(logits_BTV, labels_BT)
    alone = [cross_entropy(logits_BTV[:1, :2], labels_BT[:1, :2]), cross_entropy(logits_BTV[1:], labels_BT[1:])]
    torch.testing.assert_close(together.sum, alone[0].sum + alone[1].sum)
    assert together.count == alone[0].count + alone[1].count


def test_half_precision_logits_are_summed_in_float32():
    """Sums of thousands of bfloat16 terms lose their last digits."""
    logits_BTV = torch.randn(1, 5, 9).bfloat16()
    loss = cross_entropy(logits_BTV, torch.tensor([[1, 2, 3, 4, 5]]))
    assert loss.sum.dtype == torch.float32

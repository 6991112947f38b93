"""Losses as sums and counts. They are divided in one place, so that batch 8 trains like 8 times batch 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

IGNORED = -100
"""The label of positions that count for nothing: prompts and padding."""


class LossSum(NamedTuple):
    """A loss before it is averaged."""

    sum: Tensor
    """Weighted sum over counted tokens, in nats."""
    count: Tensor
    """Sum of the weights of counted tokens."""


Loss: TypeAlias = Callable[[Tensor, Tensor, Tensor], LossSum]
"""f(logits_BTV, labels_BT, weights_B) -> LossSum. `count` must be `token_count(labels_BT, weights_B)`."""


def cross_entropy(logits_BTV: Tensor, labels_BT: Tensor, weights_B: Tensor | None = None) -> LossSum:
    """Negative log-likelihood of the labels, in float32 whatever the precision of the logits.

    `labels_BT[b, t]` is the token that `logits_BTV[b, t]` should name (already shifted for a causal model), or -100.
    """
    nll_N = F.cross_entropy(
        logits_BTV.float().flatten(0, 1), labels_BT.flatten(), ignore_index=IGNORED, reduction="none"
    )
    nll_B = nll_N.view_as(labels_BT).sum(-1)
    return LossSum((nll_B if weights_B is None else nll_B * weights_B).sum(), token_count(labels_BT, weights_B))


def token_count(labels_BT: Tensor, weights_B: Tensor | None = None) -> Tensor:
    """How many tokens count, each with the weight of its row."""
    count_B = labels_BT.ne(IGNORED).sum(-1)
    return (count_B if weights_B is None else count_B * weights_B).sum()


LOSSES: dict[str, Loss] = {"cross-entropy": cross_entropy}

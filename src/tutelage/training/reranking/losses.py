"""How far a reranker's scores are from the rationale's: divergence of two distributions over the same candidates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from torch import Tensor
from torch.nn.functional import log_softmax

from tutelage.plugins import resolve
from tutelage.training.losses import LossSum

RankingLoss: TypeAlias = Callable[[Tensor, Tensor], LossSum]
"""Gets scores_QK of the reranker and of the teacher, each divided by its temperature; -inf where there is no candidate.
Gives the loss summed over questions, and their number.
"""

NOTHING = float("-inf")
"""The score of a place in a batch where a shorter ranking has no candidate."""


def kl(scores_QK: Tensor, teacher_QK: Tensor) -> LossSum:
    """KL(teacher || reranker) over each question's candidates: KARD, Eq. 3."""
    log_teacher_QK = log_softmax(teacher_QK, dim=-1)
    present_QK = log_teacher_QK > NOTHING
    apart_QK = log_teacher_QK - log_softmax(scores_QK, dim=-1)
    terms_QK = (log_teacher_QK.exp() * apart_QK.masked_fill(~present_QK, 0.0)).masked_fill(~present_QK, 0.0)
    return LossSum(terms_QK.sum(), scores_QK.new_tensor(len(scores_QK)))


def ce(scores_QK: Tensor, teacher_QK: Tensor) -> LossSum:
    """Cross-entropy with the candidate that the teacher likes best; of equal ones the first."""
    best_Q = teacher_QK.argmax(dim=-1, keepdim=True)
    return LossSum(-log_softmax(scores_QK, dim=-1).gather(1, best_Q).sum(), scores_QK.new_tensor(len(scores_QK)))


RANKING_LOSSES: Mapping[str, RankingLoss] = {"kl": kl, "ce": ce}


def ranking_loss(name: str) -> RankingLoss:
    """The loss called `name`, or "package.module:function" from outside."""
    return resolve(name, RANKING_LOSSES, "ranking loss")

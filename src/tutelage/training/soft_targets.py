"""Targets and what a mentor would write instead: the two terms of the loss, and the kind that reads a cache.

Where the student's logits are nothing but its last layer's, they are never made: see `last_layer`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tutelage.errors import RunError
from tutelage.models import LanguageModel
from tutelage.training.batching import Collator, Row
from tutelage.training.divergences import Divergence, Student, over_stored, over_tokens
from tutelage.training.last_layer import (
    Asked,
    before_last_layer,
    counted,
    is_plain,
    learn_through,
    logits_at,
    vocabulary_width,
)
from tutelage.training.losses import LossSum, token_count
from tutelage.training.objective import Found
from tutelage.training.soft_labels import SoftLabels

LOGIT_MSE, HIDDEN_MSE = "logit-mse", "hidden-mse"
LIVE_ONLY = (LOGIT_MSE, HIDDEN_MSE)
"""Losses that need more of the mentor than its distribution; no temperature applies to them."""


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """How targets and mentor are mixed."""

    loss: str = "kl"
    """A name in DIVERGENCES or "package.module:function"."""
    weight: float = 0.3
    """In [0, 1]; 0 is the targets alone, 1 the mentor alone. 0.3 is Mentor-KD's."""
    temperature: float = 1.0
    scaled: bool = True
    """Whether the divergence is multiplied by temperature²."""

    def check(self) -> None:
        """Raise RunError for a number out of range."""
        if not 0 <= self.weight <= 1:
            raise RunError(f"soft_labels.weight: {self.weight}; expected a number from 0 to 1.")
        if self.temperature <= 0:
            raise RunError(f"soft_labels.temperature: {self.temperature}; expected a number above 0.")

    @property
    def mixed(self) -> dict[str, Any]:
        """These settings, without those of a subclass."""
        return {name: getattr(self, name) for name in ("loss", "weight", "temperature", "scaled")}


class SoftTargets(ABC):
    """Targets and a mentor's distributions for them: what all kinds share."""

    terms: tuple[str, ...] = ("rationale", "soft")
    groups_in_batch: int | None = None

    def __init__(self, lm: LanguageModel, rows: Sequence[Row], divergence: Divergence | None, mixture: Mixture) -> None:
        self.groups: Sequence[Sequence[Row]] = [(row,) for row in rows]
        self.notes: dict[str, Any] = {}
        self.lm, self.collator, self.divergence = lm, Collator(lm), divergence
        self.weight, self.temperature = mixture.weight, mixture.temperature
        self.factor = mixture.temperature**2 if mixture.scaled and mixture.loss not in LIVE_ONLY else 1.0
        self.width = vocabulary_width(lm)

    def collate(self, groups: Sequence[Sequence[Row]]) -> dict[str, Tensor]:
        """See `Objective.collate`. What is needed of each counted token (N) is picked here, before it costs a wait."""
        batch = self.collator([row for group in groups for row in group])
        batch["places"] = counted(batch["labels"])
        return batch

    def __call__(self, model: Any, batch: dict[str, Tensor]) -> Found:
        """See `Objective.__call__`."""
        labels_BT, weights_B, places_N = (batch.pop(name) for name in ("labels", "weights", "places"))
        labels_N = labels_BT.flatten()[places_N]
        weights_N = weights_B[places_N // labels_BT.shape[1]]
        total, terms_2 = self.compare(model, batch, places_N, labels_N, weights_N)
        terms = dict(zip(self.terms, terms_2.unbind(), strict=True))
        return Found(LossSum(total, token_count(labels_BT, weights_B)), terms)

    def compare(
        self, model: Any, batch: dict[str, Tensor], places_N: Tensor, labels_N: Tensor, weights_N: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The loss, and its two terms, over the counted labels."""
        terms_2 = self.mix(*self.distances(model, batch, places_N, labels_N), weights_N)
        return terms_2.sum(), terms_2

    @abstractmethod
    def distances(
        self, model: Any, batch: dict[str, Tensor], places_N: Tensor, labels_N: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Negative log-likelihood (N) of each counted label, and the student's distance (N) from the mentor there."""

    def mix(self, nll_N: Tensor, distance_N: Tensor, weights_N: Tensor) -> Tensor:
        """The two terms as they enter the loss."""
        shares = (1 - self.weight, nll_N), (self.weight * self.factor, distance_N)
        return torch.stack([_share(weight, values_N, weights_N) for weight, values_N in shares])


class CachedTargets(SoftTargets):
    """A mentor's distributions as they were stored."""

    divergence: Divergence

    def __init__(
        self, lm: LanguageModel, rows: Sequence[Row], cache: SoftLabels, divergence: Divergence, mixture: Mixture
    ) -> None:
        super().__init__(lm, rows, divergence, mixture)
        self.cache = cache
        self.without_logits = cache.stored is not None and is_plain(lm)

    def collate(self, groups: Sequence[Sequence[Row]]) -> dict[str, Tensor]:
        """See `SoftTargets.collate`."""
        soft = self.cache.read([row for group in groups for row in group])
        stored = {} if soft.ids is None else {"ids": soft.ids}
        return {**super().collate(groups), "log_p": soft.log_p, **stored}

    def compare(
        self, model: Any, batch: dict[str, Tensor], places_N: Tensor, labels_N: Tensor, weights_N: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `SoftTargets.compare`."""
        if not self.without_logits:
            return super().compare(model, batch, places_N, labels_N, weights_N)
        log_p_NK, ids_NK = batch.pop("log_p"), batch.pop("ids")
        asked = Asked(labels_N, ids_NK, self.temperature, self.width, self.cache.has_tail)

        def judge(student: Student, part: slice) -> Tensor:
            return self.mix(student.nll, self.divergence(log_p_NK[part], student.log_q), weights_N[part])

        return before_last_layer(
            self.lm, model, batch, places_N, lambda layer, hidden_NH: learn_through(layer, hidden_NH, asked, judge)
        )

    def distances(
        self, model: Any, batch: dict[str, Tensor], places_N: Tensor, labels_N: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `SoftTargets.distances`."""
        log_p_NK, ids_NK = batch.pop("log_p"), batch.pop("ids", None)
        logits_NV, given = (
            logits_at(self.lm, model, batch, places_N),
            {"temperature": self.temperature, "width": self.width},
        )
        if ids_NK is None:
            student = over_tokens(logits_NV, labels_N, **given)
        else:
            student = over_stored(logits_NV, labels_N, ids_NK, **given, tail=self.cache.has_tail)
        return student.nll, self.divergence(log_p_NK, student.log_q)


def _share(weight: float, values_N: Tensor, weights_N: Tensor) -> Tensor:
    """A term as it enters the loss. One of weight zero is a plain zero: even where it is infinite, and at no cost."""
    return weight * (values_N * weights_N).sum() if weight else weights_N.new_zeros(())

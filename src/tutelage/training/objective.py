"""What a student is taught by: which rows stand in a batch together, what they bring along, and their loss.

The Trainer knows one thing of it, `Objective`. Here is the plain one, learning to write targets; `soft_labels` has the
mentor's distributions, `pairs` the agreement of two rationales.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from torch import Tensor

from tutelage.models import LanguageModel
from tutelage.plugins import resolve
from tutelage.training.batching import Collator, Row
from tutelage.training.last_layer import counted, logits_at
from tutelage.training.losses import LOSSES, Loss, LossSum, cross_entropy

if TYPE_CHECKING:
    from tutelage.training.settings import Settings


class Found(NamedTuple):
    """The loss of a batch, before it is averaged."""

    loss: LossSum
    terms: Mapping[str, Tensor]
    """What the sum is made of, each term as it enters it, still with its graph; one for each of `Objective.terms`."""


class Objective(Protocol):
    """A student's lesson: made for one model and its rows by a `Teaching`."""

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the terms of the loss. Where there are several, each is logged with its value and gradient norm."""
        ...

    @property
    def notes(self) -> dict[str, Any]:
        """What to keep in training.json about the rows, by name; empty where there is nothing to say."""
        ...

    @property
    def groups(self) -> Sequence[Sequence[Row]]:
        """All rows of an epoch, those together that must share a batch; mostly one row a group."""
        ...

    @property
    def groups_in_batch(self) -> int | None:
        """How many groups a batch has; None leaves it to the settings."""
        ...

    def collate(self, groups: Sequence[Sequence[Row]]) -> dict[str, Tensor]:
        """The tensors of a batch. `labels` (B, T) and `weights` (B) must be among them: they count the tokens."""
        ...

    def __call__(self, model: Any, batch: dict[str, Tensor]) -> Found:
        """The loss of a batch, whose tensors are on the model's device. `loss.count` is `token_count` of the batch."""
        ...


class Teaching(Protocol):
    """What to teach by, before a model is loaded: a frozen dataclass that knows how to become an Objective."""

    def arguments(self) -> dict[str, Any]:
        """Everything that decides the weights, as plain JSON; the key by which an interrupted training is known."""
        ...

    def prepare(self, lm: LanguageModel, rows: Sequence[Row], settings: Settings) -> Objective:
        """The objective for this student and these rows; called once, before the first step."""
        ...


@dataclass(frozen=True)
class FromTargets:
    """Learn to write the targets: cross-entropy, or the loss that the settings name."""

    def arguments(self) -> dict[str, Any]:
        """Nothing besides the settings."""
        return {}

    def prepare(self, lm: LanguageModel, rows: Sequence[Row], settings: Settings) -> Objective:
        """See `Teaching.prepare`."""
        return Targets(lm, rows, resolve(settings.loss, LOSSES, "loss"))


TARGETS = FromTargets()


class Targets:
    """One loss over the tokens of the targets."""

    terms = ("rationale",)
    groups_in_batch = None

    def __init__(self, lm: LanguageModel, rows: Sequence[Row], loss: Loss) -> None:
        self.groups = [(row,) for row in rows]
        self.notes: dict[str, Any] = {}
        self.lm, self.collator = lm, Collator(lm)
        self.loss = loss

    def collate(self, groups: Sequence[Sequence[Row]]) -> dict[str, Tensor]:
        """See `Objective.collate`."""
        return self.collator([row for group in groups for row in group])

    def __call__(self, model: Any, batch: dict[str, Tensor]) -> Found:
        """See `Objective.__call__`."""
        if self.loss is cross_entropy:
            found = target_cross_entropy(self.lm, model, batch)
        else:
            labels_BT, weights_B = batch.pop("labels"), batch.pop("weights")
            found = self.loss(model(**batch, use_cache=False).logits, labels_BT, weights_B)
        return Found(found, {"rationale": found.sum})


def target_cross_entropy(lm: LanguageModel, model: Any, batch: dict[str, Tensor]) -> LossSum:
    """Cross-entropy of a batch without logits for prompts and padding: of a causal batch these are most of them.

    `model` is `lm.model`, or what a Trainer has wrapped around it. Equal to `cross_entropy` of all logits.
    """
    labels_BT, weights_B = batch.pop("labels"), batch.pop("weights")
    places_N = counted(labels_BT)
    logits_NV = logits_at(lm, model, batch, places_N)
    weights_N = weights_B[places_N // labels_BT.shape[1]]
    return cross_entropy(logits_NV[:, None], labels_BT.flatten()[places_N, None], weights_N)

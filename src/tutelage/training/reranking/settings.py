"""The settings of a reranker's training. Defaults without another source are those of the published code
(Nardien/KARD at b2e4ac0, reranker/main.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from tutelage.errors import RecipeError
from tutelage.models import LoraSettings
from tutelage.plugins import unknown
from tutelage.precision import Precision

Shape: TypeAlias = Literal["sigmoid", "linear", "geometric"]
Select: TypeAlias = Literal["ndcg@10", "hits@1", "kl", "last"]

SHARES: Mapping[str, Callable[[float], float]] = {
    "linear": lambda done: done,
    "sigmoid": lambda done: 2 / (1 + math.exp(-10 * done)) - 1,  # the published curve: nearly all of the way by half
}
"""How much of the way from start to end has been gone when a share of all steps is done."""


@dataclass(frozen=True)
class Temperature:
    """What scores are divided by before a softmax: from `start` to `end` over training.

    The published schedule subtracts 4 from 1 and 400 from 100 and so crosses zero after a twentieth of training
    (main.py:96-99). Here every value lies between the two ends, which must be positive, so none can be zero.
    """

    start: float
    end: float
    shape: Shape = "sigmoid"

    def __post_init__(self) -> None:
        for name, value in (("start", self.start), ("end", self.end)):
            if not 0 < value < math.inf:
                raise RecipeError(f"temperature: {name} {value}; expected a positive number.")
        if self.shape not in (*SHARES, "geometric"):
            raise RecipeError(unknown("temperature shape", self.shape, (*SHARES, "geometric")))

    def at(self, done: float) -> float:
        """The temperature when the share `done` of all steps, in [0, 1], has been taken."""
        done = min(max(done, 0.0), 1.0)
        if self.shape == "geometric":
            return self.start * (self.end / self.start) ** done
        share = SHARES[self.shape](done)
        return (1 - share) * self.start + share * self.end


@dataclass(frozen=True, kw_only=True)
class RerankerSettings:
    """How a reranker learns."""

    kind: str = "late-interaction"
    """`late-interaction`, whose passages' vectors can be kept, or `cross-encoder`."""
    epochs: int = 3
    learning_rate: float = 1e-4
    batch_size: int = 16
    """Questions in a batch, on each device."""
    candidates: int = 8
    """Passages drawn for a question in each epoch."""
    loss: str = "kl"
    """`kl` is the paper's Eq. 3; `ce`, the published code's default, wants the best of the drawn passages first."""
    teacher_temperature: Temperature = field(default_factory=lambda: Temperature(5.0, 1.0))
    """Of the rationale's scores. The published 1 - 4 read as 5 - 4, so that it ends at 1."""
    model_temperature: Temperature = field(default_factory=lambda: Temperature(1.0, 0.2))
    """Of the reranker's scores. Ours: the published 500 to 100 are for vectors of any length, falling by the same 5."""
    schedule: str = "linear"
    warmup: float = 0.05
    """Share of all steps over which the learning rate rises."""
    weight_decay: float = 0.01
    """The default of torch's AdamW, which the published code takes."""
    max_grad_norm: float | None = 1.0
    """Ours."""
    lora: LoraSettings | None = field(default_factory=lambda: LoraSettings(rank=16, alpha=32, dropout=0.1))
    """On the query and value layers unless its `targets` say otherwise; None trains every weight."""
    dimension: int | None = 128
    """Late interaction: numbers in a vector (128: ColBERT; the published code keeps 768); None adds no layer."""
    normalize: bool = True
    """Late interaction: vectors of length 1 (ColBERT); the published code compares them as they are."""
    query_tokens: int = 512
    passage_tokens: int = 512
    select: Select = "ndcg@10"
    """Which epoch is kept, by the dev rankings. The published code keeps the last."""
    precision: Precision = "auto"
    """Of matrix products in training; `auto` is bf16 where that is faster. The weights themselves stay float32."""

    def __post_init__(self) -> None:
        least = {"epochs": 1, "batch_size": 1, "candidates": 2, "dimension": 1, "query_tokens": 8, "passage_tokens": 8}
        for name, smallest in least.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise RecipeError(f"reranker.{name}: {value}; expected {smallest} or more.")
        if not 0 < self.learning_rate < math.inf:
            raise RecipeError(f"reranker.learning_rate: {self.learning_rate}; expected a positive number.")
        if not 0 <= self.warmup < 1:
            raise RecipeError(f"reranker.warmup: {self.warmup}; expected a share of all steps in [0, 1).")
        if self.select not in ("ndcg@10", "hits@1", "kl", "last"):
            raise RecipeError(unknown("choice of epoch", self.select, ("ndcg@10", "hits@1", "kl", "last")))

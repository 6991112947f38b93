"""The settings of a training run: everything that decides the weights, besides examples and starting model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from tutelage.models import LoraSettings
from tutelage.precision import Precision

Select: TypeAlias = Literal["dev_accuracy", "dev_loss", "last"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a student learns."""

    seed: int
    epochs: int
    learning_rate: float
    batch_size: int = 8
    """Examples in a batch, on each device."""
    batch_tokens: int | None = None
    """Instead: padded tokens in a batch."""
    accumulate: int = 1
    """Batches whose gradients are summed before a step."""
    schedule: str = "linear"
    """linear, cosine, constant or constant_with_warmup."""
    warmup: float = 0.05
    """Share of all steps over which the learning rate rises."""
    weight_decay: float = 0.01
    """Not applied to biases and norms, unless `decay_norms`."""
    decay_norms: bool = False
    max_grad_norm: float | None = 1.0
    """Longer gradients are cut to this length; None cuts none."""
    optimizer: str = "adamw_torch_fused"
    """Any optimizer of `transformers.TrainingArguments.optim`."""
    loss: str = "cross-entropy"
    """A name in LOSSES or "package.module:function"."""
    select: Select = "dev_accuracy"
    """Which epoch is kept. Epochs of equal dev accuracy are told apart by dev loss, then the earlier one stays."""
    evaluate_every: int = 1
    """Epochs between two looks at the dev split; the last epoch is always looked at."""
    patience: int | None = None
    """Stop after so many looks without a better one."""
    max_prompt_tokens: int = 512
    max_target_tokens: int = 512
    long_targets: Literal["drop", "raise"] = "drop"
    """What to do with an example whose target does not fit: leave it out and count it, or stop."""
    lora: LoraSettings | None = None
    precision: Precision = "auto"
    """Of matrix products; `auto` is bf16 where that is faster. The weights themselves stay float32."""
    gradient_checkpointing: bool = False
    checkpoint_every: int = 1
    """Epochs between two checkpoints to resume from."""
    checkpoint_steps: int | None = None
    """Further checkpoints within long epochs."""

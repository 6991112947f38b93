"""Training so plain that its sums can be compared: no dropout, no schedule, no moments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tutelage.models import LanguageModel, load, quiet
from tutelage.training.batching import Row
from tutelage.training.objective import Teaching
from tutelage.training.settings import Settings
from tutelage.training.student import _arguments
from tutelage.training.trainer import DistillationTrainer


def without_dropout(folder: Path) -> LanguageModel:
    """A model whose loss is the same however its rows are dealt into batches, and whose gradient has no jumps.

    ReLU's does: with the kernels of one processor the input of a single unit was 1.3e-7 in parts of a batch
    and -4.5e-8 in the whole of it, and weights ended 6e-5 apart. With GELU they are 6e-8 apart.
    """
    lm = load(folder)
    for module in lm.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "dropout", None), float):
            module.__dict__["dropout"] = 0.0
        for name, child in module.named_children():
            if isinstance(child, torch.nn.ReLU):
                setattr(module, name, torch.nn.GELU())
    return lm


def plain_settings(**changes: Any) -> Settings:
    """Steps of plain gradient descent, all of one length, so that sums can be compared."""
    chosen: dict[str, Any] = {"seed": 1, "epochs": 2, "learning_rate": 0.1, "schedule": "constant", "select": "last"}
    chosen |= {"warmup": 0.0, "weight_decay": 0.0, "optimizer": "sgd", "batch_size": 8}
    return Settings(**chosen | changes)


def weights_after(
    folder: Path,
    teaching: Teaching,
    rows_of: Callable[[LanguageModel], list[Row]],
    chosen: Settings,
    tmp_path: Path,
) -> dict[str, Tensor]:
    """What a training without dropout leaves behind."""
    lm = without_dropout(folder)
    with quiet():
        objective = teaching.prepare(lm, rows_of(lm), chosen)
        DistillationTrainer(lm, objective, _arguments(chosen, tmp_path, "cpu"), chosen).train()
    return {name: tensor.clone() for name, tensor in lm.model.state_dict().items()}


def distance(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    """The largest difference of any two weights."""
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)

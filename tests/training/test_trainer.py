"""The trainer's arithmetic: how a batch is split must not change what is learnt."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from plain_training import distance, plain_settings, without_dropout
from plain_training import weights_after as trained_weights

from tutelage.models import LanguageModel, load
from tutelage.training import trainer as trainer_module
from tutelage.training.batching import Collator, Row
from tutelage.training.losses import cross_entropy
from tutelage.training.objective import FromTargets
from tutelage.training.settings import Settings
from tutelage.training.student import _arguments
from tutelage.training.trainer import DistillationTrainer


def rows(count: int, *, seed: int = 0) -> list[Row]:
    """Prompts and targets of 2 to 8 tokens: all of one bucket, so that one batch can hold every row."""
    source = random.Random(seed)
    ids = [[[source.randint(3, 90) for _ in range(source.randint(2, 8))] for _ in range(2)] for _ in range(count)]
    return [Row(str(i), prompt, target, 1.0 + i % 2) for i, (prompt, target) in enumerate(ids)]


def settings(**changes: Any) -> Settings:
    return plain_settings(**{"epochs": 1, "learning_rate": 1e-2, "optimizer": "adamw_torch_fused", **changes})


def plain_step(lm: LanguageModel, optimizer: torch.optim.Optimizer, batch_rows: list[Row]) -> None:
    """What a step must amount to, without a Trainer."""
    batch = Collator(lm)(batch_rows)
    labels_BT, weights_B = batch.pop("labels"), batch.pop("weights")
    loss = cross_entropy(lm.model(**batch).logits, labels_BT, weights_B)
    (loss.sum / loss.count).backward()
    torch.nn.utils.clip_grad_norm_(lm.model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()


def weights_after(folder: Path, data: list[Row], chosen: Settings, tmp_path: Path) -> dict[str, torch.Tensor]:
    return trained_weights(folder, FromTargets(), lambda _: data, chosen, tmp_path)


def trainer(lm: LanguageModel, data: list[Row], chosen: Settings, tmp_path: Path) -> DistillationTrainer:
    objective = FromTargets().prepare(lm, data, chosen)
    return DistillationTrainer(lm, objective, _arguments(chosen, tmp_path, "cpu"), chosen)


def test_batch_of_eight_trains_like_eight_of_one(folder: Path, tmp_path: Path):
    """Averaging each small batch weighs short targets more: the known defect of several distillation trainers."""
    data = rows(8)
    one = weights_after(folder, data, settings(epochs=4, batch_size=8, optimizer="sgd", learning_rate=0.1), tmp_path)
    many = settings(epochs=4, batch_size=1, accumulate=8, optimizer="sgd", learning_rate=0.1)
    assert distance(one, weights_after(folder, data, many, tmp_path)) < 2e-5
    uneven = settings(epochs=4, batch_size=3, accumulate=3, optimizer="sgd", learning_rate=0.1)
    assert distance(one, weights_after(folder, data, uneven, tmp_path)) < 2e-5
    assert distance(one, dict(load(folder).model.state_dict())) > 1e-3


def uneven_rows(count: int) -> list[Row]:
    """Targets of 1 to 40 tokens."""
    return [row._replace(target=(row.target * 20)[: 1 + 7 * n % 40]) for n, row in enumerate(rows(count))]


@pytest.mark.parametrize("size", [{"batch_size": 8}, {"batch_size": 3, "accumulate": 3}, {"batch_tokens": 300}])
def test_a_batch_in_parts_trains_like_a_whole_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: dict[str, int]
):
    """Parts are for speed: divided each by its own tokens, short targets would be learnt from more than long ones."""
    found: list[dict[str, torch.Tensor]] = []
    parts: list[int] = []
    together = trainer_module._together
    monkeypatch.setattr(trainer_module, "_together", lambda some: parts.append(len(some)) or together(some))
    for overhead in (0.0, math.inf):
        monkeypatch.setattr(trainer_module, "CPU_OVERHEAD", overhead)
        chosen = settings(epochs=2, **size, optimizer="sgd", learning_rate=0.1)
        found.append(weights_after(folder, uneven_rows(20), chosen, tmp_path))
    assert distance(*found) < 2e-5
    assert max(parts) > 1
    assert distance(found[0], dict(load(folder).model.state_dict())) > 1e-3


def test_a_step_equals_one_of_a_plain_loop_over_random_batches(folder: Path, tmp_path: Path):
    """Sorted by length, a batch of short targets moved the weights as far as one of long targets with 15 times as many
    tokens: 0.05 nats a token worse at equal rows and steps (decision 20).
    """
    data, lm = uneven_rows(20), without_dropout(folder)
    optimizer = torch.optim.SGD(lm.model.parameters(), lr=0.1)
    for epoch in range(2):
        order = torch.randperm(20, generator=torch.Generator().manual_seed(1_000_003 + epoch)).tolist()
        for at in range(0, 20, 8):
            plain_step(lm, optimizer, [data[i] for i in order[at : at + 8]])
    chosen = settings(epochs=2, batch_size=8, optimizer="sgd", learning_rate=0.1)
    assert distance(weights_after(folder, data, chosen, tmp_path), lm.model.state_dict()) < 2e-5


def test_equals_a_plain_loop(folder: Path, tmp_path: Path):
    """The Trainer does much behind our back; a loop of six lines says what it must amount to."""
    data, lm = rows(6), without_dropout(folder)
    optimizer = torch.optim.SGD(lm.model.parameters(), lr=0.1)
    for _ in range(3):
        plain_step(lm, optimizer, data)
    chosen = settings(epochs=3, batch_size=6, optimizer="sgd", learning_rate=0.1)
    assert distance(weights_after(folder, data, chosen, tmp_path), lm.model.state_dict()) < 2e-5


def test_loss_of_an_example_ignores_its_neighbours(folder: Path, tmp_path: Path):
    """Padding that is learnt from (a known defect) teaches a student to write padding."""
    lm = without_dropout(folder)
    lm.model.eval()
    found = trainer(lm, rows(5), settings(), tmp_path)
    groups = [(row,) for row in rows(5)]
    together = found.compute_loss(lm.model, found.collate(groups), num_items_in_batch=1)
    alone = [found.compute_loss(lm.model, found.collate([group]), num_items_in_batch=1) for group in groups]
    torch.testing.assert_close(together, torch.stack(alone).sum(), rtol=1e-5, atol=1e-4)


def test_weight_two_is_two_rows(folder: Path, tmp_path: Path):
    """The weight of an example must mean the same in every batch."""
    once, twice = [Row(str(i), *r[1:3], 1.0) for i, r in enumerate(rows(2))], rows(2)
    doubled = [*once, Row("again", *once[1][1:3], 1.0)]
    chosen = settings(batch_size=4, optimizer="sgd", learning_rate=0.1)
    a, b = (weights_after(folder, data, chosen, tmp_path) for data in (twice, doubled))
    assert distance(a, b) < 1e-5


def test_norms_and_biases_do_not_decay(folder: Path, tmp_path: Path):
    """Weight decay on T5's "layer_norm" (a known defect) pulls every norm towards zero."""
    lm = load(folder)
    optimizer = trainer(lm, rows(2), settings(weight_decay=0.1), tmp_path).create_optimizer()
    decayed = {id(p) for group in optimizer.param_groups if group["weight_decay"] > 0 for p in group["params"]}
    for name, parameter in lm.model.named_parameters():
        assert (id(parameter) in decayed) == (parameter.ndim > 1 and "relative_attention_bias" not in name), name


def test_every_weight_that_can_learn_does(folder: Path, tmp_path: Path):
    """A parameter outside all groups stays as it was born."""
    lm = load(folder)
    optimizer = trainer(lm, rows(2), settings(), tmp_path).create_optimizer()
    grouped = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in lm.model.parameters())

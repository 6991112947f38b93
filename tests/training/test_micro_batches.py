"""A batch worked off in parts is the same batch, in less memory."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from plain_training import distance, plain_settings, weights_after, without_dropout
from transformers import AutoConfig, AutoModelForCausalLM, Trainer

from tutelage.checkpoints import weight_count
from tutelage.models import LoraSettings, evaluating, load
from tutelage.training import memory, student, trainer
from tutelage.training.batching import Collator, Row
from tutelage.training.losses import LOSSES, cross_entropy
from tutelage.training.objective import FromTargets, target_cross_entropy
from tutelage.training.settings import Settings
from tutelage.training.trainer import micro_batches
from tutelage.types import Example


def rows(count: int, longest: int = 8) -> list[Row]:
    source = random.Random(count)
    ids = [[[source.randint(3, 90) for _ in range(source.randint(2, longest))] for _ in range(2)] for _ in range(count)]
    return [Row(str(i), prompt, target, 1.0 + i % 3) for i, (prompt, target) in enumerate(ids)]


def groups(sizes: Sequence[int]) -> list[tuple[Row, ...]]:
    return [(Row(str(n), [1] * size, [2], 1.0),) for n, size in enumerate(sizes)]


def test_every_group_is_in_one_part_and_no_part_is_too_large():
    """A lost row is never learnt, and a part too large is what runs out of memory."""
    found = micro_batches(groups([3, 90, 5, 40, 41, 2, 30]), 100)
    assert sorted(group[0].id for part in found for group in part) == [str(n) for n in range(7)]
    widths = [[len(group[0].prompt) + 1 for group in part] for part in found]
    assert all(len(part) * max(part) <= 100 for part in widths)
    assert len(found) < 7
    assert micro_batches(groups([300, 2]), 100)[0][0][0].id == "0"  # one too large goes alone


def test_without_a_limit_a_batch_is_whole():
    """On a GPU a user's batch size is taken at its word."""
    some = groups([3, 90, 5])
    assert micro_batches(some, None) == [some]


def test_parts_train_like_the_whole_batch(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Parts that were averaged one by one would weigh the tokens of small parts more."""
    chosen = plain_settings(epochs=3, batch_size=8)
    whole = weights_after(folder, FromTargets(), lambda _: rows(8), chosen, tmp_path)
    passes: list[int] = []
    step = Trainer.training_step
    monkeypatch.setattr(
        Trainer,
        "training_step",
        lambda self, model, inputs, count=None: passes.append(1) or step(self, model, inputs, count),
    )
    monkeypatch.setattr(trainer, "micro_batch_tokens", lambda *_: 20)
    parts = weights_after(folder, FromTargets(), lambda _: rows(8), chosen, tmp_path)
    assert len(passes) >= 3 * 4
    assert distance(whole, parts) < 2e-5
    assert distance(whole, dict(without_dropout(folder).model.state_dict())) > 1e-3


def test_logits_of_targets_alone_give_the_loss_of_all_logits(folder: Path):
    """Leaving out prompts and padding must change neither the loss nor a gradient."""
    lm, data = without_dropout(folder), rows(5)
    batch = Collator(lm)(data)
    inputs = {name: tensor for name, tensor in batch.items() if name not in ("labels", "weights")}
    plain = cross_entropy(lm.model(**inputs, use_cache=False).logits, batch["labels"], batch["weights"])
    expected = torch.autograd.grad(plain.sum, [p for p in lm.model.parameters() if p.requires_grad], allow_unused=True)
    found = target_cross_entropy(lm, lm.model, dict(batch))
    gradients = torch.autograd.grad(found.sum, [p for p in lm.model.parameters() if p.requires_grad], allow_unused=True)
    torch.testing.assert_close(found.sum, plain.sum, rtol=1e-6, atol=1e-5)
    assert found.count == plain.count
    for one, other in zip(gradients, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max() + 1))


def test_a_loss_of_the_users_own_still_gets_all_logits(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It may look at a text as a whole, and its signature says (B, T, V)."""
    shapes: list[torch.Size] = []

    def loss(logits_BTV: torch.Tensor, labels_BT: torch.Tensor, weights_B: torch.Tensor) -> Any:
        shapes.append(logits_BTV.shape)
        return cross_entropy(logits_BTV, labels_BT, weights_B)

    monkeypatch.setitem(LOSSES, "mine", loss)
    weights_after(folder, FromTargets(), lambda _: rows(4), plain_settings(epochs=1, loss="mine"), tmp_path)
    assert shapes[0][0] == 4
    assert shapes[0][1] > 1


def test_a_training_keeps_the_precision_it_began_with(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Resumed where bfloat16 does not pay, it would end with another student than the one that was begun."""
    examples = [Example(f"q{n}#t#0", f"Tova has {n} beads", "12") for n in range(8)]
    chosen = Settings(seed=1, epochs=2, learning_rate=1e-3, select="dev_loss", batch_size=4, max_target_tokens=16)
    monkeypatch.setattr(student, "autocast_dtype", lambda *_: torch.bfloat16)

    def learn() -> student.Trained:
        return student.train(
            examples, examples[:2], chosen, model=folder, folder=tmp_path / "s", progress=False, device="cpu"
        )

    with monkeypatch.context() as stopped:
        stopped.setattr("tutelage.training.epochs.DevLook.__call__", _stop_in_second_epoch())
        with pytest.raises(KeyboardInterrupt):
            learn()
    monkeypatch.setattr(student, "autocast_dtype", lambda *_: None)
    done = learn()
    assert done.precision == "bf16"
    assert json.loads((tmp_path / "s" / "training.json").read_text())["precision"] == "bf16"


def _stop_in_second_epoch() -> Any:
    from tutelage.training.epochs import DevLook

    look, times = DevLook.__call__, iter(range(9))

    def stopping(self: DevLook) -> dict[str, float | None]:
        if next(times) == 1:
            raise KeyboardInterrupt
        return look(self)

    return stopping


@pytest.mark.parametrize(("checkpointing", "least", "most"), [(False, 0.7, 1.6), (True, 1.0, 5.0)])
def test_activations_take_about_what_is_estimated(checkpointing: bool, least: float, most: float):
    """An estimate far below the truth runs out of memory; one far above makes tiny micro-batches.

    Counted as the bytes of all tensors saved for the backward pass, for a Llama of SmolLM2's proportions. With gradient
    checkpointing the estimate also holds the one layer that is computed again, which is saved only later.
    """
    config = AutoConfig.for_model(
        "llama", hidden_size=288, intermediate_size=768, num_hidden_layers=6, num_attention_heads=9,
        num_key_value_heads=3, vocab_size=64, tie_word_embeddings=True,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config).train()
    if checkpointing:
        model.activation_checkpointing_enable()
    weights = {p.data_ptr() for p in model.parameters()}
    saved: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in weights:
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    tokens_BT = torch.randint(0, 64, (2, 200))
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model(input_ids=tokens_BT, use_cache=False)
    counted = sum(saved.values()) / tokens_BT.numel()
    estimated = memory.activation_bytes(config, 200, in_bf16=False, checkpointing=checkpointing)
    assert estimated is not None
    assert least < estimated / counted < most, (estimated, counted)


def test_several_processes_do_not_split():
    """Ranks that pass a different number of times wait for each other for ever."""
    arguments: Any = SimpleNamespace(device=torch.device("cpu"), world_size=2)
    lm: Any = SimpleNamespace(model=SimpleNamespace(config=None))
    assert memory.micro_batch_tokens(lm, 99, arguments, plain_settings()) is None


def test_evaluation_reads_no_logits_of_prompts(folder: Path):
    """The loss on dev over a vocabulary of 49,152 took 3 GB for what a hundredth of it is needed of."""
    lm, widths = load(folder), []
    hook = lm.model.get_output_embeddings().register_forward_hook(
        lambda _, __, out: widths.append(out.shape[:-1].numel())
    )
    data = rows(4)
    try:
        with evaluating(lm):
            target_cross_entropy(lm, lm.model, Collator(lm)(data))
    finally:
        hook.remove()
    assert widths == [sum(len(row.target) for row in data)]


def test_a_batch_of_any_size_fits_a_small_machine():
    """A model of 135 million weights took 8 GB at batch size 16: `check` must say less, and say what adapters save."""
    config = AutoConfig.for_model("llama", hidden_size=576, intermediate_size=1536, num_hidden_layers=30)
    chosen = {"max_prompt_tokens": 384, "max_target_tokens": 128}
    needed = [
        memory.training_bytes(config, 134_515_008, plain_settings(batch_size=size, **chosen)) for size in (8, 16, 64)
    ]
    assert needed[0] == needed[1] == needed[2] < 4e9
    adapted = memory.training_bytes(config, 134_515_008, plain_settings(lora=LoraSettings(), **chosen))
    assert adapted < needed[0] - 134_515_008 * 11


def test_weights_are_counted_without_loading_them(folder: Path):
    """Shared weights count once, as in memory; a hub name is not downloaded to find out."""
    network = load(folder).model
    assert weight_count(str(folder)) == sum(p.numel() for p in network.parameters())
    assert weight_count("google/flan-t5-base") is None


def test_a_network_of_unknown_sizes_trains_without_a_limit():
    """A configuration without the usual names ended in a traceback before the first step."""
    config = AutoConfig.for_model("gpt2")
    unknown: Any = SimpleNamespace(get_text_config=SimpleNamespace, is_encoder_decoder=False)
    assert memory.activation_bytes(config, 10, in_bf16=False, checkpointing=False)
    assert memory.activation_bytes(unknown, 10, in_bf16=False, checkpointing=False) is None
    arguments: Any = SimpleNamespace(device=torch.device("cpu"), world_size=1)
    lm: Any = SimpleNamespace(model=SimpleNamespace(config=unknown))
    assert memory.micro_batch_tokens(lm, 99, arguments, plain_settings()) is None
    assert memory.training_bytes(unknown, 10, plain_settings()) > memory.ACTIVATION_BYTES

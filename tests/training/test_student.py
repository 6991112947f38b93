"""A training run from examples to a folder: the best epoch, going on after a kill, and clear ends."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from tutelage import models
from tutelage.errors import ModelError, RunError, TextError
from tutelage.generation.local import LocalGenerator
from tutelage.models import LanguageModel, LoraSettings, load
from tutelage.runs import read_jsonl
from tutelage.training import epochs, student
from tutelage.training.settings import Settings
from tutelage.training.student import Trained, train
from tutelage.types import Example

EXAMPLES = [Example(f"q-{i}", f"Tova has {i} beads and finds 5 more.", f"{i} + 5 --> {i + 5}") for i in range(12)]
DEV = [Example(f"d-{i}", f"Tova has {i} beads.", f"--> {i}") for i in range(3)]


@pytest.fixture(params=["t5", "gpt"])
def start(request: pytest.FixtureRequest, tiny_t5_folder: Path, tiny_gpt_folder: Path) -> Path:
    return tiny_t5_folder if request.param == "t5" else tiny_gpt_folder


def settings(**changes: Any) -> Settings:
    chosen: dict[str, Any] = {"seed": 3, "epochs": 3, "learning_rate": 3e-3, "batch_size": 4, "select": "dev_loss"}
    chosen["max_target_tokens"] = 64
    return Settings(**{**chosen, **changes})


def teach(model: Path, folder: Path, examples: Any = EXAMPLES, dev: Any = DEV, **changes: Any) -> Trained:
    outside = {key: changes.pop(key) for key in ("dev_score", "tell", "tensorboard") if key in changes}
    outside.setdefault("tensorboard", False)
    return train(
        examples, dev, settings(**changes), model=model, folder=folder, device="cpu", progress=False, **outside
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def without_seconds(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


def recorder(scores: list[float], seen: list[dict[str, torch.Tensor]]) -> Callable[[LanguageModel], float]:
    """A dev score that gives these numbers and keeps a copy of the weights it was shown."""

    def score(lm: LanguageModel) -> float:
        seen.append({name: tensor.detach().clone() for name, tensor in lm.model.state_dict().items()})
        return scores[len(seen) - 1]

    return score


def test_a_student_learns_and_is_an_ordinary_folder(start: Path, tmp_path: Path):
    """The point of it all: the loss falls, and anybody can load the result."""
    trained = teach(start, tmp_path / "run", epochs=12, learning_rate=1e-2)
    losses = [row["loss"] for row in trained.history]
    assert losses[-1] < 0.6 * losses[0]
    auto = AutoModelForSeq2SeqLM if load(start).kind == "encoder-decoder" else AutoModelForCausalLM
    auto.from_pretrained(trained.model)


def test_only_the_result_stays(start: Path, tmp_path: Path):
    """Checkpoints of forty students fill a disk."""
    trained = teach(start, tmp_path / "run", tensorboard=True)
    names = {path.name for path in trained.folder.iterdir()}
    assert names == {"arguments.json", "history.jsonl", "model", "tensorboard", "training.json"}
    assert list((trained.folder / "tensorboard").iterdir())
    assert "training_args.bin" not in {path.name for path in trained.model.iterdir()}
    assert len({path.stat().st_mode for path in trained.model.iterdir()}) == 1


def test_history_has_a_row_an_epoch(start: Path, tmp_path: Path):
    """The report draws its curves from it."""
    trained = teach(start, tmp_path / "run", dev_score=lambda lm: 0.5)
    assert [(row["epoch"], row["step"]) for row in trained.history] == [(1, 3), (2, 6), (3, 9)]
    assert all(row["dev_accuracy"] == 0.5 and row["dev_loss"] > 0 and row["seconds"] > 0 for row in trained.history)
    assert trained.history[-1]["learning_rate"] == 0.0
    assert trained.steps == 9
    lm = load(start)
    a_pass = sum(len(lm.prompt_ids(e.prompt)) + len(lm.target_ids(e.target)) for e in EXAMPLES)
    assert trained.tokens == 3 * a_pass


def test_loss_of_history_is_the_mean_over_tokens(start: Path, tmp_path: Path):
    """With a learning rate of zero and no dropout it is the loss of the starting model, which is known."""
    plain = tmp_path / "plain"
    shutil.copytree(start, plain)
    config = json.loads((plain / "config.json").read_text())
    config.update({key: 0.0 for key in config if key in ("dropout_rate", "attn_pdrop", "embd_pdrop", "resid_pdrop")})
    (plain / "config.json").write_text(json.dumps(config))
    trained = teach(plain, tmp_path / "run", dev=EXAMPLES, epochs=1, learning_rate=1e-30, batch_size=5)
    assert trained.history[0]["loss"] == pytest.approx(trained.history[0]["dev_loss"], rel=1e-5)


def test_best_epoch_is_kept_and_not_the_last(start: Path, tmp_path: Path):
    """A shallow copy of the weights (a known defect) saves the last epoch under the name of the best."""
    seen: list[dict[str, torch.Tensor]] = []
    trained = teach(
        start, tmp_path / "run", epochs=4, select="dev_accuracy", dev_score=recorder([0.1, 0.9, 0.3, 0.2], seen)
    )
    assert trained.best_epoch == 2
    kept = weights(trained.model)
    assert all(torch.equal(kept[name], seen[1][name]) for name in kept)
    assert not all(torch.equal(kept[name], seen[3][name]) for name in kept)


def test_equal_accuracy_is_decided_by_dev_loss(start: Path, tmp_path: Path):
    """With a hundred dev questions ties are common; the first epoch of a tie is seldom the best."""
    trained = teach(start, tmp_path / "run", select="dev_accuracy", dev_score=lambda lm: 0.0)
    best = min(trained.history, key=lambda row: row["dev_loss"])
    assert trained.best_epoch == best["epoch"]


def test_last_epoch_is_kept_when_asked(start: Path, tmp_path: Path):
    """Published results are often of the last epoch; no dev questions are needed for it."""
    trained = teach(start, tmp_path / "run", dev=[], select="last", patience=1)
    assert trained.best_epoch == 3
    assert [row["dev_loss"] for row in trained.history] == [None, None, None]


def test_patience_stops(start: Path, tmp_path: Path):
    """Twenty more epochs after the best one are paid for nothing."""
    scores = [0.5, 0.6, 0.4, 0.4, 0.9, 0.9]
    trained = teach(
        start, tmp_path / "run", epochs=6, select="dev_accuracy", patience=2, dev_score=recorder(scores, [])
    )
    assert (trained.best_epoch, len(trained.history)) == (2, 4)


def test_looks_every_second_epoch_and_at_the_last(start: Path, tmp_path: Path):
    """Looking may cost more than an epoch; the last epoch must not go unseen."""
    trained = teach(start, tmp_path / "run", epochs=5, evaluate_every=2)
    assert [row["dev_loss"] is not None for row in trained.history] == [False, True, False, True, True]


def test_looking_changes_nothing(start: Path, tmp_path: Path):
    """If a look at dev moved random numbers or modes, its frequency would change the student."""

    def disturb(lm: LanguageModel) -> float:
        torch.rand(5)
        LocalGenerator(lm, max_new_tokens=3).write(["Tova"], samples=2, temperature=1.0)
        return 0.5

    looked = teach(start, tmp_path / "looked", dev_score=disturb, select="last")
    alone = teach(start, tmp_path / "alone", dev=[], select="last", evaluate_every=3)
    assert same(weights(looked.model), weights(alone.model))


def test_numbers_are_told_on_the_way(start: Path, tmp_path: Path):
    """A board of forty students shows what each of them is doing."""
    told: list[dict[str, Any]] = []
    trained = teach(start, tmp_path / "run", tell=told.append)
    assert [row for row in told if row.pop("epoch_done", False)] == trained.history


def test_token_batches_train(start: Path, tmp_path: Path):
    """Batches by tokens vary in rows; every example must still be seen."""
    trained = teach(start, tmp_path / "run", batch_tokens=200)
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]


@pytest.mark.parametrize("gradient_checkpointing", [False, True])
def test_adapters_train_and_are_merged(start: Path, tmp_path: Path, gradient_checkpointing: bool):
    """A student with adapters must load like any other, hold what was learnt, and give its adapters to whoever asks."""
    seen: list[dict[str, torch.Tensor]] = []
    trained = teach(
        start,
        tmp_path / "run",
        lora=LoraSettings(rank=4),
        learning_rate=3e-2,
        gradient_checkpointing=gradient_checkpointing,
        select="dev_accuracy",
        dev_score=recorder([0.9, 0.1, 0.1], seen),
    )
    lm, before = load(trained.model), load(start)
    assert not hasattr(lm.model, "peft_config")
    assert lm.model.state_dict().keys() == before.model.state_dict().keys()
    assert trained.best_epoch == 1
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]
    adapters = load_file(trained.model / "adapter" / "adapter_model.safetensors")
    assert all(torch.equal(t, seen[0][n.replace(".weight", ".default.weight")]) for n, t in adapters.items())
    changed = {n for n, t in lm.model.state_dict().items() if not torch.equal(t, before.model.state_dict()[n])}
    assert changed


@pytest.mark.parametrize("lora", [None, LoraSettings(rank=2)])
@pytest.mark.parametrize("gone", [True, False])
def test_a_student_that_is_not_the_one_chosen_is_not_kept(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lora: LoraSettings | None, gone: bool
):
    """Between the best epoch and the folder that is loaded later, weights may get lost; nobody would look again."""

    def damage(folder: Path) -> None:
        for path in folder.rglob("*.safetensors") if gone else ():
            found = load_file(path)
            save_file({name: 1.05 * weight for name, weight in found.items()}, path, {"format": "pt"})

    monkeypatch.setattr(student if lora is None else models, "open_to_readers", damage)
    if gone:
        with pytest.raises(ModelError, match="is not the one in memory"):
            teach(start, tmp_path, lora=lora, select="last")
        assert not (tmp_path / "model").exists()
    else:
        assert not list(teach(start, tmp_path, lora=lora, select="last").model.glob("live*"))


def test_a_run_begun_before_logits_were_kept_is_ended(start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An update must not stop a training that is nearly over."""
    monkeypatch.setattr(epochs, "sample_logits", lambda *_: torch.zeros(1, 1))
    keep = student._keep_model

    def as_before(lm: Any, folder: Path, *others: Any) -> None:
        for path in folder.glob(f"best-*/{epochs.LIVE}"):
            path.unlink()
        keep(lm, folder, *others)

    monkeypatch.setattr(student, "_keep_model", as_before)
    assert teach(start, tmp_path).model.is_dir()


def test_finished_run_is_given_back(start: Path, tmp_path: Path):
    """A second call must cost nothing and change nothing."""
    first = teach(start, tmp_path / "run")
    stamp = (first.model / "model.safetensors").stat().st_mtime_ns
    assert teach(start, tmp_path / "run") == first
    assert (first.model / "model.safetensors").stat().st_mtime_ns == stamp


def test_folder_of_another_training_is_refused(start: Path, tmp_path: Path):
    """Going on with other settings from old checkpoints gives a student that no recipe describes."""
    teach(start, tmp_path / "run")
    with pytest.raises(RunError, match="other examples, learning_rate"):
        teach(start, tmp_path / "run", examples=EXAMPLES[:5], learning_rate=1e-3)


class Killed(BaseException):
    """Stands for a power cut: nothing of ours catches it."""


@pytest.mark.parametrize(
    ("at_look", "changes"),
    [
        (2, {}),
        (3, {"checkpoint_every": 2}),
        (3, {"checkpoint_steps": 1}),  # a checkpoint at the last step of an epoch, before its end
        (4, {}),
        (4, {"lora": LoraSettings(2, dropout=0.1)}),
    ],
)
def test_going_on_equals_never_stopping(start: Path, tmp_path: Path, at_look: int, changes: dict[str, Any]):
    """Otherwise a crash changes the result, and nobody can say by how much."""
    scores = [0.2, 0.8, 0.5, 0.1]
    common: dict[str, Any] = {"epochs": 4, "select": "dev_accuracy", "patience": 2, **changes}
    whole = teach(start, tmp_path / "whole", dev_score=recorder(scores, []), **common)
    looks: list[int] = []

    def breaking(lm: LanguageModel) -> float:
        looks.append(1)
        if len(looks) == at_look:
            raise Killed
        return scores[len(looks) - 1]

    with pytest.raises(Killed):
        teach(start, tmp_path / "broken", dev_score=breaking, **common)
    assert (tmp_path / "broken" / "history.jsonl").exists()
    rest = scores[_epochs_kept(tmp_path / "broken") :]
    again = teach(start, tmp_path / "broken", dev_score=recorder(rest, []), **common)
    assert same(weights(whole.model), weights(again.model))
    assert without_seconds(whole.history) == without_seconds(again.history)
    assert whole[2:5] == again[2:5]


def _epochs_kept(folder: Path) -> int:
    steps = [int(path.name.partition("-")[2]) for path in folder.glob("checkpoint-*")]
    return max(steps, default=0) // 3


def _in_small_steps(model: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    small: dict[str, Any] = {"epochs": 6, "checkpoint_steps": 2, "accumulate": 2, "batch_size": 2}
    teach(model, folder, **small)


@pytest.mark.slow
def test_kill_nine_anywhere_changes_nothing(tiny_t5_folder: Path, tmp_path: Path):
    """Machines are taken away without a word: in the middle of an epoch, of a checkpoint, of a look."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    _in_small_steps(tiny_t5_folder, whole)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tutelage.training.student"])
    for marker in ("checkpoint-4", "checkpoint-8/optimizer.pt", "checkpoint-14/progress.json", "model"):
        process = processes.Process(target=_in_small_steps, args=(tiny_t5_folder, broken))
        process.start()
        while process.is_alive() and not (broken / marker).exists():
            time.sleep(0.001)
        assert (broken / marker).exists()
        process.kill()
        process.join()
    _in_small_steps(tiny_t5_folder, broken)
    assert same(weights(whole / "model"), weights(broken / "model"))
    histories = [read_jsonl(folder / "history.jsonl") for folder in (whole, broken)]
    assert without_seconds(histories[0]) == without_seconds(histories[1])


def test_half_written_checkpoints_are_skipped(start: Path, tmp_path: Path):
    """A file cut short by a kill must not be resumed from, nor stop the run."""
    whole = teach(start, tmp_path / "whole")
    looks: list[int] = []

    def breaking(lm: LanguageModel) -> float:
        looks.append(1)
        if len(looks) == 3:
            raise Killed
        return 0.0

    with pytest.raises(Killed):
        teach(start, tmp_path / "broken", dev_score=breaking)
    newest = tmp_path / "broken" / "checkpoint-6"
    optimizer = newest / "optimizer.pt"
    optimizer.write_bytes(optimizer.read_bytes()[:100])
    (tmp_path / "broken" / "checkpoint-7").mkdir()
    again = teach(start, tmp_path / "broken")
    assert same(weights(whole.model), weights(again.model))


def test_loss_that_is_no_number_stops_and_keeps_nothing(start: Path, tmp_path: Path):
    """NaN weights saved as the best would be scored as a student that knows nothing."""
    with pytest.raises(RunError, match=r"loss of epoch 1 became (nan|inf)"):
        teach(start, tmp_path / "run", learning_rate=1e30, schedule="constant", warmup=0.0, max_grad_norm=1e30)
    assert not list((tmp_path / "run").glob("best-*"))
    assert not list((tmp_path / "run").glob("model"))


def test_no_examples_is_an_error(start: Path, tmp_path: Path):
    """Verification may keep nothing; training on nothing must not look like training."""
    with pytest.raises(TextError, match="no examples to learn from"):
        teach(start, tmp_path / "run", examples=[])


def test_one_example_is_enough(start: Path, tmp_path: Path):
    """The smallest set must not fall over a division."""
    assert teach(start, tmp_path / "run", examples=EXAMPLES[:1], dev=DEV[:1]).steps == 3


def test_choice_by_dev_needs_dev(start: Path, tmp_path: Path):
    """To fall back on the last epoch, or on the test split, without a word would be worse than to stop."""
    with pytest.raises(RunError, match="select: dev_loss needs dev examples"):
        teach(start, tmp_path / "run", dev=[])
    with pytest.raises(RunError, match="select: dev_accuracy needs a `dev_score`"):
        teach(start, tmp_path / "run", select="dev_accuracy")


def test_long_targets_are_counted_or_refused(start: Path, tmp_path: Path):
    """An example that is left out must show up in a number."""
    long = [*EXAMPLES, Example("q-long", "x", "5 " * 60)]
    assert teach(start, tmp_path / "run", examples=long, max_target_tokens=40).cut == (0, 1)
    with pytest.raises(TextError, match="1 of 13 targets are longer than 40 tokens"):
        teach(start, tmp_path / "other", examples=long, max_target_tokens=40, long_targets="raise")


def test_dev_targets_that_all_are_too_long_stop(start: Path, tmp_path: Path):
    """Without one dev row every epoch is equally good, and the first would be kept. Training's own targets do fit."""
    long = [Example("d", "x", "5 " * 60)]
    message = r"1 of 1 dev targets are longer than 40 tokens, so there is nothing to judge an epoch by\. Raise"
    with pytest.raises(TextError, match=message) as found:
        teach(start, tmp_path / "run", dev=long, max_target_tokens=40)
    assert "long_targets" not in str(found.value)  # they are dropped already
    with pytest.raises(TextError, match=r"1 of 4 dev targets are longer .*, or set long_targets: drop"):
        teach(start, tmp_path / "other", dev=[*DEV, *long], max_target_tokens=40, long_targets="raise")


def test_targets_that_all_are_too_long_stop(start: Path, tmp_path: Path):
    """They are dropped already: to be told to drop them would lead in a circle."""
    with pytest.raises(TextError, match=r"1 of 1 targets are longer than 40 .*nothing to learn from\. Raise") as found:
        teach(start, tmp_path / "run", examples=[Example("q", "x", "5 " * 60)], max_target_tokens=40)
    assert "long_targets" not in str(found.value)


def test_checkpoints_may_be_asked_for_differently_when_going_on(start: Path, tmp_path: Path):
    """How often to be ready for a kill decides nothing about the weights."""
    first = teach(start, tmp_path / "run", checkpoint_every=3)
    assert teach(start, tmp_path / "run", checkpoint_every=1) == first


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_missing_gpu_is_said(start: Path, tmp_path: Path):
    """A run meant for a GPU that falls back on the CPU in silence takes a week."""
    with pytest.raises(RunError, match="torch finds no CUDA device"):
        train(EXAMPLES, DEV, settings(), model=start, folder=tmp_path / "run", device="cuda", progress=False)


def test_text_that_no_tokenizer_carries_is_named(start: Path, tmp_path: Path):
    """One broken character in ten thousand targets must be found before training, with its place."""
    with pytest.raises(TextError, match=r"q-x \(target\): holds half a surrogate pair"):
        teach(start, tmp_path / "run", examples=[*EXAMPLES, Example("q-x", "x", "\udc80")])


def test_folder_that_cannot_be_made_is_an_error(start: Path, tmp_path: Path):
    """A traceback of mkdir does not say what to do."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write to"):
        teach(start, tmp_path / "file" / "run")

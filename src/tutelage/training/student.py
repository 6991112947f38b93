"""Train one student from examples to an ordinary Hugging Face folder, in a working folder that survives kill -9.

    settings = Settings(seed=1, epochs=10, learning_rate=3e-4)
    trained = train(examples, dev, settings, model="google/flan-t5-small", folder=Path("student"), dev_score=accuracy)
    trained.model           # student/model, the weights of the best epoch
    trained.history[-1]     # {"epoch": 10, "step": 800, "loss": 0.41, "dev_loss": 0.52, "dev_accuracy": 0.63, ...}

Called again with the same arguments it goes on from the last whole checkpoint, and on a CPU ends with the very weights
that an unbroken run ends with.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from accelerate import PartialState
from safetensors.torch import load_file
from transformers import TrainingArguments

from tutelage.errors import RunError, TextError, all_problems
from tutelage.escape import audit
from tutelage.models import (
    LanguageModel,
    Tokens,
    check_same,
    check_saved,
    in_precision,
    is_adapted,
    load,
    open_to_readers,
    quiet,
    sample_logits,
    save,
)
from tutelage.precision import Precision, autocast_dtype, is_small
from tutelage.runs import read_jsonl, write_json
from tutelage.training.batching import Cuts, Row, tokenize
from tutelage.training.epochs import LIVE, DevLook, DevScore, Epochs
from tutelage.training.live_mentor import strip_projections
from tutelage.training.memory import keep_freed_memory
from tutelage.training.objective import TARGETS, Objective, Teaching
from tutelage.training.progress import FILE, Progress, best_folder, latest_checkpoint, remove_broken
from tutelage.training.settings import Settings
from tutelage.training.trainer import DistillationTrainer
from tutelage.training.watch import Bar, Board, Teller, Watcher
from tutelage.types import Example

FINISHED = "training.json"
Device: TypeAlias = Literal["auto", "cpu", "cuda"]


class Trained(NamedTuple):
    """A finished training run."""

    folder: Path
    history: list[dict[str, Any]]
    """One row an epoch: epoch, step, loss (training loss per token), dev_loss, dev_accuracy, learning_rate, seconds."""
    best_epoch: int
    """The epoch whose weights were kept, counted from 1."""
    steps: int
    tokens: int
    """Prompt and target tokens seen over all epochs, without padding."""
    seconds: float
    precision: str | None
    """fp32 or bf16: what matrix products were computed in; None in folders of earlier versions."""
    cut: Cuts
    notes: dict[str, Any]
    """What the objective said about its rows; see `Objective.notes`."""

    @property
    def model(self) -> Path:
        """The student, an ordinary Hugging Face folder."""
        return self.folder / "model"


def train(
    examples: Sequence[Example],
    dev: Sequence[Example],
    settings: Settings,
    *,
    model: str | Path,
    folder: Path,
    dev_score: DevScore | None = None,
    teaching: Teaching = TARGETS,
    device: Device = "auto",
    progress: bool = True,
    tensorboard: bool = True,
    tell: Callable[[dict[str, Any]], None] | None = None,
) -> Trained:
    """Teach `model` the targets of `examples` and keep the best epoch in `folder/model`.

    `teaching` says what the loss is made of besides the targets, e.g. a mentor's soft labels.
    `dev_score` gets the live model after an epoch and gives its accuracy on the dev questions; it changes nothing about
    training. `tell` hears the newest numbers: step and loss now and then, the row of history after an epoch.
    Raises TextError for texts that the tokenizer cannot carry or that do not fit, RunError for a folder that belongs to
    another training or cannot be written, and for a loss that is no number.
    """
    _check_choice(dev, settings, dev_score)
    known = {"model": str(model), "examples": _digest(examples), "dev": _digest(dev), **_deciding(settings)}
    _claim(folder, known | teaching.arguments())
    if not (folder / FINISHED).exists():
        with quiet():
            lm = load(model, lora=settings.lora, seed=settings.seed, device="cpu")  # the Trainer moves it
            _audit(lm, [*examples, *dev])
            rows, cut = _fitting(lm, examples, settings)
            dev_rows = _fitting(lm, dev, settings, of="dev ")[0] if dev else []
            state = Progress.resume(folder)
            settings = replace(settings, precision=state.precision or _precision(lm, settings, device))
            state.precision = settings.precision
            lm = in_precision(lm, settings.precision)
            look = DevLook(lm, dev_rows, dev_score, settings.batch_size)
            sample = [(row.prompt, row.target) for row in rows[:2]]
            objective = teaching.prepare(lm, rows, settings)
            if not state.done:
                watchers: list[Watcher] = [Bar(folder.name)] if progress else []
                watchers += [Board(folder / "tensorboard", state.history)] if tensorboard else []
                watchers += [Teller(tell, state.history)] if tell else []
                _learn(lm, objective, Epochs(folder, state, look, settings, sample), settings, watchers, device)
            if PartialState().is_main_process:
                _keep_model(lm, folder, state, sample)
                _finish(folder, state, cut, sum(sum(row.lengths) for row in rows), objective.notes)
            PartialState().wait_for_everyone()
    return _finished(folder)


def _learn(
    lm: LanguageModel,
    objective: Objective,
    epochs: Epochs,
    settings: Settings,
    watchers: list[Watcher],
    device: Device,
) -> None:
    """Run the epochs that are still to do."""
    arguments = _arguments(settings, epochs.folder, device)
    if arguments.device.type == "cpu" and is_small(lm.model):
        keep_freed_memory()
    trainer = epochs.trainer = DistillationTrainer(lm, objective, arguments, settings, [epochs, *watchers])
    checkpoint = latest_checkpoint(epochs.folder)
    if trainer.is_world_process_zero():
        remove_broken(epochs.folder)
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    finally:
        for watcher in watchers:
            watcher.close()
    if trainer.is_world_process_zero():
        epochs.progress.save(epochs.folder)
    trainer.accelerator.wait_for_everyone()


def _arguments(settings: Settings, folder: Path, device: Device) -> TrainingArguments:
    """Settings in the words of transformers; what would only cost time in a step is turned off."""
    if device == "cuda" and not torch.cuda.is_available():
        raise RunError("device: cuda, but torch finds no CUDA device. Set device: auto or cpu.")
    on_gpu = device != "cpu" and torch.cuda.is_available()
    arguments = TrainingArguments(
        output_dir=str(folder),
        seed=settings.seed,
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulate,
        lr_scheduler_type=settings.schedule,
        warmup_steps=min(settings.warmup, 0.999),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm or 0.0,
        optim=settings.optimizer,
        bf16=settings.precision == "bf16",
        use_cpu=not on_gpu,
        activation_checkpointing=settings.gradient_checkpointing or None,
        save_strategy="no",  # `Epochs` asks for checkpoints
        save_total_limit=2,
        logging_steps=20,
        logging_nan_inf_filter=False,  # would look at the loss on every step, and hide it; `Epochs` stops instead
        report_to=[],
        disable_tqdm=True,
        log_level="error",
        ddp_find_unused_parameters=False,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several devices are for torchrun; DataParallel is slower than one
    return arguments


def _precision(lm: LanguageModel, settings: Settings, device: Device) -> Precision:
    """What `auto` stands for on the device that trains; it stays so when the training is resumed."""
    on_gpu = device != "cpu" and torch.cuda.is_available()
    dtype = autocast_dtype(settings.precision, lm.model, "cuda" if on_gpu else "cpu")
    return "fp32" if dtype is None else "bf16"


def _audit(lm: LanguageModel, examples: Sequence[Example]) -> None:
    """Look at every text before training: one <unk> in a target would be learnt as an answer."""
    texts = {f"{e.id} ({part})": text for e in examples for part, text in (("prompt", e.prompt), ("target", e.target))}
    problems = audit(lm, texts)
    if problems:
        advice = "Mend or leave out these texts, or choose a model whose tokenizer works on bytes (byt5, gpt2)."
        raise TextError(all_problems(f"{lm.name} cannot carry {len(problems)} text(s):", problems, advice))


def _fitting(
    lm: LanguageModel, examples: Sequence[Example], settings: Settings, *, of: Literal["", "dev "] = ""
) -> tuple[list[Row], Cuts]:
    """Rows that fit, at least one, and what was cut."""
    limits = {"max_prompt_tokens": settings.max_prompt_tokens, "max_target_tokens": settings.max_target_tokens}
    rows, cut = tokenize(lm, examples, **limits)
    long = f"{cut.targets} of {len(examples)} {of}targets are longer than {settings.max_target_tokens} tokens"
    if cut.targets and not rows:
        purpose = "judge an epoch by" if of else "learn from"
        raise TextError(f"{long}, so there is nothing to {purpose}. Raise max_target_tokens.")
    if cut.targets and settings.long_targets == "raise":
        raise TextError(f"{long}. Raise max_target_tokens, or set long_targets: drop to leave such examples out.")
    if not rows:
        raise TextError("no examples to learn from. Did verification keep none of the rationales?")
    return rows, cut


def _check_choice(dev: Sequence[Example], settings: Settings, dev_score: DevScore | None) -> None:
    lacks = {
        "dev_accuracy": "" if dev_score else "a `dev_score`",
        "dev_loss": "" if dev else "dev examples",
        "last": "",
    }[settings.select]
    if lacks:
        raise RunError(f"select: {settings.select} needs {lacks}. Hold some questions out, or set select: last.")


def _deciding(settings: Settings) -> dict[str, Any]:
    """Settings without those that only say how often to be ready for a kill."""
    return {name: value for name, value in asdict(settings).items() if not name.startswith("checkpoint")}


def _claim(folder: Path, arguments: dict[str, Any]) -> None:
    """Make the folder this training's own, or find that it already is."""
    path, arguments = folder / "arguments.json", json.loads(json.dumps(arguments))
    try:
        before = json.loads(path.read_text()) if path.exists() else arguments
        changed = sorted(key for key in before.keys() | arguments.keys() if before.get(key) != arguments.get(key))
        if changed:
            raise RunError(f"{folder} holds a training with other {', '.join(changed)}. Delete it, or use another.")
        write_json(path, arguments)
    except OSError as error:
        raise RunError(f"cannot write to {folder} ({error.strerror}). Choose another folder.") from error


def _digest(examples: Sequence[Example]) -> str:
    rows = [[e.id, e.prompt, e.target, e.weight] for e in examples]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _keep_model(lm: LanguageModel, folder: Path, state: Progress, sample: Sequence[Tokens]) -> None:
    """Turn the best weights into `folder/model`: renamed where they are whole, merged where they are adapters.

    Raises ModelError where that folder's model is not the one that was chosen: its logits on a sample are compared with
    those that the live model had then.
    """
    best, kept = best_folder(folder, state.best_epoch), folder / "model"
    if kept.exists():
        return
    live = load_file(best / LIVE)["logits"] if (best / LIVE).exists() else None
    if is_adapted(lm):
        lm.model.load_adapter(str(best), "default")
        if live is not None:
            check_same(str(best), live, sample_logits(lm, sample))
        best = folder / "best-merged"
        save(lm, best, sample=sample)
    lm.tokenizer.save_pretrained(best)
    strip_projections(best)
    (best / "training_args.bin").unlink(missing_ok=True)
    open_to_readers(best)
    if live is not None and not is_adapted(lm):
        check_saved(best, sample, live, device=lm.device)
    (best / LIVE).unlink(missing_ok=True)
    best.rename(kept)


def _finish(folder: Path, state: Progress, cut: Cuts, tokens: int, notes: dict[str, Any]) -> None:
    """Note the result as the last act, then remove what was only for resuming."""
    result = {
        "best_epoch": state.best_epoch,
        "steps": state.step,
        "tokens": tokens * len(state.history),
        "seconds": round(state.seconds, 3),
        "cut": cut._asdict(),
        "precision": state.precision,
        **notes,
    }
    write_json(folder / FINISHED, result)
    for path in [*folder.glob("checkpoint-*"), *folder.glob("best-*")]:
        shutil.rmtree(path)
    (folder / FILE).unlink(missing_ok=True)


def _finished(folder: Path) -> Trained:
    result = json.loads((folder / FINISHED).read_text())
    counted = {name: result.pop(name, None) for name in ("best_epoch", "steps", "tokens", "seconds", "precision")}
    return Trained(folder, read_jsonl(folder / "history.jsonl"), **counted, cut=Cuts(**result.pop("cut")), notes=result)

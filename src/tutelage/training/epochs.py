"""What happens at the end of an epoch: a look at dev, a row of history, the best weights, a stop, a checkpoint."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from accelerate.utils import broadcast_object_list
from safetensors.torch import save_file
from transformers import TrainerCallback

from tutelage.errors import RunError
from tutelage.models import LanguageModel, Tokens, evaluating, sample_logits
from tutelage.runs import write_jsonl
from tutelage.training.batching import Batches, Collator, Row
from tutelage.training.losses import LossSum
from tutelage.training.objective import target_cross_entropy
from tutelage.training.progress import Progress, best_folder, remove_surpassed
from tutelage.training.settings import Settings
from tutelage.training.trainer import DistillationTrainer

LIVE = "live.logits"
"""What the live model gave for a sample when its weights were kept; not part of the student."""
NOT_LOOKED: dict[str, float | None] = {"dev_loss": None, "dev_accuracy": None}
DevScore: TypeAlias = Callable[[LanguageModel], float]


@dataclass(frozen=True)
class DevLook:
    """How a student is looked at between epochs. Training goes on as if nobody had looked."""

    lm: LanguageModel
    rows: Sequence[Row]
    score: DevScore | None
    batch_size: int

    def __call__(self) -> dict[str, float | None]:
        """Loss per token on the dev rows and the share of dev questions answered correctly, where each is known."""
        with evaluating(self.lm):
            loss = self._loss() if self.rows else None
            return {"dev_loss": loss, "dev_accuracy": self.score(self.lm) if self.score else None}

    def _loss(self) -> float:
        collate = Collator(self.lm)
        batches = Batches([row.lengths for row in self.rows], rows=self.batch_size)
        sums = [self._batch_loss(collate([self.rows[i] for i in batch])) for batch in batches]
        return float(sum(s.sum.double() for s in sums) / sum(s.count.double() for s in sums))

    def _batch_loss(self, batch: dict[str, torch.Tensor]) -> LossSum:
        inputs = {name: tensor.to(self.lm.device) for name, tensor in batch.items()}
        return target_cross_entropy(self.lm, self.lm.model, inputs)


class Epochs(TrainerCallback):
    """Keeps the progress of a run and acts on it."""

    trainer: DistillationTrainer

    def __init__(
        self, folder: Path, progress: Progress, look: DevLook, settings: Settings, sample: Sequence[Tokens] = ()
    ) -> None:
        """The best weights are kept with the logits that the live model has for a `sample`."""
        self.folder, self.progress, self.look, self.settings, self.sample = folder, progress, look, settings, sample
        self.since = time.monotonic()

    @property
    def epoch(self) -> int:
        """The running epoch, counted from 1."""
        return len(self.progress.history) + 1

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the epoch's loss, or take it up where the checkpoint left it: there it stands for all ranks."""
        self.trainer.so_far = self.trainer.tally(self.progress.so_far if state.is_world_process_zero else None)
        self.trainer.gradient_norms = dict(self.progress.gradient_norms)
        self.since = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask for a checkpoint within an epoch; the log before it finds a loss that is no number.

        None at the epoch's last step: resumed from there the Trainer begins the next epoch, and this one never ends.
        """
        every, in_epoch = (
            self.settings.checkpoint_steps,
            math.ceil(len(self.trainer.batches) / args.gradient_accumulation_steps),
        )
        if every and state.global_step % every == 0 and state.global_step % in_epoch:
            control.should_log = control.should_save = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Stop on a loss that is no number, before it can be saved."""
        self._stop_on_nan((logs or {}).get("loss", 0.0), state.global_step)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Look, note, keep the best, decide whether to go on."""
        (total, count, *terms), epoch = self.trainer.epoch_loss(), self.epoch
        loss = total / count
        self._stop_on_nan(loss, state.global_step)
        looks = epoch % self.settings.evaluate_every == 0 or epoch == self.settings.epochs
        found = self._look_once() if looks else NOT_LOOKED
        self._stop_on_nan(found["dev_loss"] or 0.0, state.global_step)
        if looks:
            self._keep_best(epoch, found)
        row = {"epoch": epoch, "step": state.global_step, "loss": loss, **found}
        self._note({**row, **self._terms([term / count for term in terms])})
        self.progress.done = epoch == self.settings.epochs or self._out_of_patience()
        control.should_training_stop = self.progress.done
        control.should_save = not self.progress.done and epoch % self.settings.checkpoint_every == 0

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Complete the checkpoint that the Trainer has just written."""
        total = self.trainer.epoch_loss()
        begun = total[1] > 0
        self.progress.so_far = total if begun else []
        self.progress.gradient_norms = self.trainer.gradient_norms if begun else {}
        self.progress.epoch_seconds = self._seconds() if begun else 0.0
        self.since = time.monotonic()
        self.progress.step = state.global_step
        if state.is_world_process_zero:
            self.progress.save(self.folder / f"checkpoint-{state.global_step}")
            remove_surpassed(self.folder, self.progress.best_epoch)

    def _look_once(self) -> dict[str, float | None]:
        """The main process looks and tells the others, so that all decide alike."""
        told = [self.look() if self.trainer.is_world_process_zero() else None]
        if self.trainer.args.world_size > 1:
            broadcast_object_list(told)
        return told[0] or {}

    def _keep_best(self, epoch: int, found: dict[str, float | None]) -> None:
        key = self._key(epoch, found)
        if key is None or (self.progress.best_key is not None and key <= self.progress.best_key):
            self.progress.looks_since_best += 1
            return
        target = best_folder(self.folder, epoch)
        writing = target.with_name(f"{target.name}.partial")
        self.trainer.save_model(str(writing), _internal_call=True)
        if self.trainer.is_world_process_zero():
            if self.sample and not (self.trainer.is_fsdp_enabled or self.trainer.is_deepspeed_enabled):
                save_file({"logits": sample_logits(self.look.lm, self.sample)}, writing / LIVE)
            shutil.rmtree(target, ignore_errors=True)  # of a try that was killed before its next checkpoint
            writing.rename(target)
            remove_surpassed(self.folder, epoch)
        self.progress.best_epoch, self.progress.best_key, self.progress.looks_since_best = epoch, key, 0

    def _key(self, epoch: int, found: dict[str, float | None]) -> list[float] | None:
        """What the best epoch is chosen by; larger is better. Epochs equally accurate are told apart by their loss."""
        loss = -(found["dev_loss"] or 0.0)
        if self.settings.select == "last":
            return [float(epoch)] if epoch == self.settings.epochs else None
        return [found["dev_accuracy"] or 0.0, loss] if self.settings.select == "dev_accuracy" else [loss]

    def _terms(self, values: list[float]) -> dict[str, dict[str, float]]:
        """What the loss is made of, where there is more than one term: each one's value and gradient norm."""
        names = self.trainer.objective.terms
        if len(names) < 2:
            return {}
        return {
            "terms": dict(zip(names, values, strict=True)),
            "gradient_norms": self.trainer.gradient_norms,
        }

    def _note(self, row: dict[str, Any]) -> None:
        rate = self.trainer._get_learning_rate()
        seconds = self._seconds()
        self.progress.history.append({**row, "learning_rate": rate, "seconds": round(seconds, 3)})
        self.progress.seconds += seconds
        self.progress.step = row["step"]
        self.progress.epoch_seconds, self.progress.so_far, self.progress.gradient_norms = 0.0, [], {}
        self.trainer.so_far, self.trainer.gradient_norms = self.trainer.tally(), {}
        if self.trainer.is_world_process_zero():
            write_jsonl(self.folder / "history.jsonl", self.progress.history)

    def _out_of_patience(self) -> bool:
        patience = self.settings.patience
        return patience is not None and self.settings.select != "last" and self.progress.looks_since_best >= patience

    def _seconds(self) -> float:
        return self.progress.epoch_seconds + time.monotonic() - self.since

    def _stop_on_nan(self, loss: float, step: int) -> None:
        if not math.isfinite(loss):
            raise RunError(
                f"the loss of epoch {self.epoch} became {loss} by step {step}. Lower learning_rate or max_grad_norm, "
                "or set precision: fp32. Nothing of this epoch was kept."
            )

"""What happens at the end of a reranker's epoch: a look at dev, a row of history, the best weights, a checkpoint."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from tutelage.errors import RunError
from tutelage.runs import write_jsonl
from tutelage.training.progress import Progress, best_folder, remove_surpassed
from tutelage.training.reranking.candidates import Ranking
from tutelage.training.reranking.metrics import measure
from tutelage.training.reranking.settings import RerankerSettings
from tutelage.training.reranking.trainer import RankingTrainer, save_weights
from tutelage.types import Passage


@dataclass(frozen=True)
class Dev:
    """Rankings of held-out questions, all candidates of each, the same after every epoch."""

    rankings: Sequence[Ranking]
    passages: Mapping[str, Passage]
    settings: RerankerSettings
    baseline: Sequence[Ranking] = ()
    """The same candidates scored by the question alone."""

    def look(self, network: Any) -> dict[str, float]:
        """The metrics of a network as it is, at the last temperatures of training."""
        candidates = [[self.passages[i] for i in ranking.passage_ids] for ranking in self.rankings]
        scores = network.reranker().scores([r.query for r in self.rankings], candidates)
        return measure(
            self.rankings,
            scores,
            teacher_temperature=self.settings.teacher_temperature.end,
            model_temperature=self.settings.model_temperature.end,
        )

    def look_at_baseline(self) -> dict[str, float]:
        """The metrics of the order that the question's own search gives; no kl, its scores were never to match."""
        given = {
            ranking.query_id: dict(zip(ranking.passage_ids, ranking.scores, strict=True)) for ranking in self.baseline
        }
        rankings = [ranking for ranking in self.rankings if ranking.query_id in given]
        found = measure(rankings, [[given[r.query_id][i] for i in r.passage_ids] for r in rankings])
        return {name: value for name, value in found.items() if name != "kl"}


class Epochs(TrainerCallback):
    """Keeps the progress of a run and acts on it."""

    trainer: RankingTrainer

    def __init__(self, folder: Path, progress: Progress, dev: Dev) -> None:
        self.folder, self.progress, self.dev = folder, progress, dev
        self.baseline = dev.look_at_baseline()
        self.since = time.monotonic()

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock, and before the first epoch see how good the network is untaught."""
        self.since = time.monotonic()
        if state.global_step == 0 and state.is_world_process_zero:
            self._note({"epoch": 0, "step": 0, "loss": None, **self._look()})

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Stop on a loss that is no number, before it can be saved."""
        self._stop_on_nan((logs or {}).get("loss", 0.0), state.global_step)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Look, note, keep the best, ask for a checkpoint."""
        loss, epoch = self.trainer.epoch_loss(), round(state.epoch)
        self._stop_on_nan(loss, state.global_step)
        if state.is_world_process_zero:
            found = self._look()
            self._stop_on_nan(found.get("kl", 0.0), state.global_step)
            self._keep_best(epoch, found)
            self._note({"epoch": epoch, "step": state.global_step, "loss": loss, **found})
        self.progress.done = epoch == self.dev.settings.epochs
        control.should_save = not self.progress.done

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Complete the checkpoint that the Trainer has just written."""
        if state.is_world_process_zero:
            self.progress.save(self.folder / f"checkpoint-{state.global_step}")
            remove_surpassed(self.folder, self.progress.best_epoch)

    def _look(self) -> dict[str, float]:
        return self.dev.look(self.trainer.model) if self.dev.rankings else {}

    def _keep_best(self, epoch: int, found: dict[str, float]) -> None:
        key = self._key(epoch, found)
        if self.progress.best_key is not None and key <= self.progress.best_key:
            return
        target = best_folder(self.folder, epoch)
        writing = target.with_name(f"{target.name}.partial")
        save_weights(self.trainer.model, writing)
        shutil.rmtree(target, ignore_errors=True)  # of a try that was killed before its next checkpoint
        writing.rename(target)
        self.progress.best_epoch, self.progress.best_key = epoch, key
        remove_surpassed(self.folder, epoch)

    def _key(self, epoch: int, found: dict[str, float]) -> list[float]:
        """What the best epoch is chosen by; larger is better. Equal epochs are told apart by kl, then the earlier."""
        select = self.dev.settings.select
        if select == "last":
            return [float(epoch)]
        return [-found["kl"]] if select == "kl" else [found[select], -found["kl"]]

    def _note(self, row: dict[str, Any]) -> None:
        teacher, own = self.trainer.temperatures
        seconds = time.monotonic() - self.since
        self.progress.history.append(
            {
                **row,
                "teacher_temperature": teacher,
                "model_temperature": own,
                "learning_rate": self.trainer._get_learning_rate() if row["step"] else None,
                "seconds": round(seconds, 3),
                **({"baseline": self.baseline} if self.baseline else {}),
            }
        )
        self.progress.seconds += seconds
        self.progress.step = row["step"]
        self.since = time.monotonic()
        write_jsonl(self.folder / "history.jsonl", self.progress.history)

    def _stop_on_nan(self, loss: float, step: int) -> None:
        if not math.isfinite(loss):
            raise RunError(
                f"the reranker's loss became {loss} by step {step}. Lower learning_rate or max_grad_norm, or set "
                "precision: fp32. Nothing of this epoch was kept."
            )

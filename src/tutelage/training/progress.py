"""How far a training run has come, kept beside each checkpoint so that a killed run goes on as if nothing had been.

student/
arguments.json        what this folder trains; a call with other arguments is refused
checkpoint-120/       of the Trainer: weights, optimizer, schedule, random states
progress.json       ours, written last: a checkpoint without it, or with a file cut short, does not count
best-3/               weights of the best epoch so far; renamed to model/ at the end
history.jsonl         one row an epoch
model/                when finished: an ordinary Hugging Face folder
training.json         when finished, written last
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tutelage.precision import Precision
from tutelage.runs import write_json

FILE = "progress.json"


@dataclass
class Progress:
    """Everything that decides what happens next, besides weights, optimizer and random states."""

    history: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """One row for each finished epoch."""
    best_epoch: int | None = None
    best_key: list[float] | None = None
    """What made it the best; larger is better, the first number first."""
    looks_since_best: int = 0
    """Looks at the dev split since the best one."""
    done: bool = False
    """No further epoch: the last one is over, or patience is."""
    precision: Precision | None = None
    """Of matrix products, decided when the training began."""
    step: int = 0
    """Optimizer steps taken."""
    seconds: float = 0.0
    """Time spent in finished epochs, over all tries."""
    epoch_seconds: float = 0.0
    """Of the epoch begun but not finished, as the next two."""
    so_far: list[float] = field(default_factory=list[float])
    """Loss, count and each term, summed."""
    gradient_norms: dict[str, float] = field(default_factory=dict[str, float])

    @classmethod
    def load(cls, folder: Path) -> Progress:
        """The progress noted in a checkpoint's folder."""
        return cls(**json.loads((folder / FILE).read_text())["progress"])

    @classmethod
    def resume(cls, folder: Path) -> Progress:
        """Where a run in this folder goes on: after its last epoch, from its latest checkpoint, or at the beginning."""
        place = folder if (folder / FILE).exists() else latest_checkpoint(folder)
        return cls.load(place) if place else cls()

    def save(self, folder: Path) -> None:
        """Note the progress, and the sizes of the files beside it."""
        sizes: dict[str, Any] = {p.name: p.stat().st_size for p in folder.iterdir() if p.is_file() and p.name != FILE}
        write_json(folder / FILE, {"progress": asdict(self), "files": sizes})


def best_folder(folder: Path, epoch: int | None) -> Path:
    """Where the weights of an epoch are, if it is the best."""
    return folder / f"best-{epoch}"


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that is whole, together with the best weights it speaks of."""
    checkpoints = sorted(folder.glob("checkpoint-*"), key=_step, reverse=True)
    return next((checkpoint for checkpoint in checkpoints if _is_whole(checkpoint)), None)


def remove_surpassed(folder: Path, best_epoch: int | None) -> None:
    """Delete best weights that neither this run nor any checkpoint to resume from speaks of."""
    whole = [Progress.load(checkpoint) for checkpoint in folder.glob("checkpoint-*") if _is_whole(checkpoint)]
    needed = {best_folder(folder, epoch) for epoch in [best_epoch, *(progress.best_epoch for progress in whole)]}
    for path in folder.glob("best-*"):
        if path not in needed:
            shutil.rmtree(path)


def remove_broken(folder: Path) -> None:
    """Delete what a killed try left half-written, so that it is never taken for something else."""
    for path in [*folder.glob("checkpoint-*"), *folder.glob("best-*.partial")]:
        if not _is_whole(path):
            shutil.rmtree(path)


def _is_whole(checkpoint: Path) -> bool:
    try:
        sizes = json.loads((checkpoint / FILE).read_text())["files"]
        same = all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
        best = Progress.load(checkpoint).best_epoch
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return same and (best is None or best_folder(checkpoint.parent, best).is_dir())


def _step(checkpoint: Path) -> int:
    digits = checkpoint.name.rpartition("-")[2]
    return int(digits) if digits.isdigit() else -1

"""Teach a reranker to find, from the question alone, the passages that the teacher's rationale would have found."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from accelerate import PartialState
from transformers import TrainerCallback, TrainingArguments

from tutelage.errors import RunError, TextError, all_problems
from tutelage.models import check_same, open_to_readers
from tutelage.precision import autocast_dtype, is_small
from tutelage.retrieval.late_interaction import quietly
from tutelage.retrieval.reranker import RERANKERS, Reranker, load_reranker
from tutelage.runs import read_jsonl, write_json
from tutelage.training.memory import keep_freed_memory
from tutelage.training.progress import FILE, Progress, best_folder, latest_checkpoint, remove_broken
from tutelage.training.reranking.candidates import Ranking
from tutelage.training.reranking.epochs import Dev, Epochs
from tutelage.training.reranking.losses import ranking_loss
from tutelage.training.reranking.network import new_network
from tutelage.training.reranking.settings import RerankerSettings
from tutelage.training.reranking.trainer import RankingTrainer, load_weights
from tutelage.training.watch import Teller
from tutelage.types import Passage

FINISHED = "reranker.json"


@dataclass(frozen=True)
class TrainedReranker:
    """A finished training."""

    folder: Path
    history: list[dict[str, Any]]
    """One row an epoch, the first (epoch 0) before any training: loss, dev metrics, temperatures, baseline."""
    best_epoch: int
    """The epoch whose weights were kept, counted from 1."""
    steps: int
    seconds: float

    @property
    def model(self) -> Path:
        """The reranker, a folder in sentence-transformers' format that needs no base."""
        return self.folder / "model"


def train_reranker(
    rankings: Sequence[Ranking],
    dev: Sequence[Ranking],
    passages: Mapping[str, Passage],
    settings: RerankerSettings,
    *,
    base: str | Path,
    folder: Path,
    seed: int,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    tell: Callable[[dict[str, Any]], None] | None = None,
    baseline: Sequence[Ranking] = (),
) -> TrainedReranker:
    """Teach the encoder of `base` the order of `rankings` and keep the best epoch on `dev` in `folder/model`.

    `passages` holds every candidate by id. `baseline` are the dev rankings scored by the question (`question_order`);
    history then tells what there is to beat. `tell` hears step and loss now and then, and each epoch's row of history.
    A call after a crash goes on from the last finished epoch. Raises ModelError for a base that cannot encode,
    TextError for rankings that cannot teach, RunError for a folder of another training and a loss that is no number.
    """
    _check(rankings, dev, passages, settings)
    arguments = {
        "base": str(base),
        "seed": seed,
        "rankings": _digest(rankings, passages),
        "dev": _digest(dev, passages),
        **asdict(settings),
    }
    _claim(folder, json.loads(json.dumps(arguments)))
    if not (folder / FINISHED).exists():
        with quietly():
            network = new_network(base, settings, seed=seed)
            progress = Progress.resume(folder)
            if not progress.done:
                epochs = Epochs(folder, progress, Dev(dev, passages, settings, baseline))
                watchers: list[TrainerCallback] = [Teller(tell, progress.history)] if tell else []
                _learn(network, rankings, epochs, watchers, seed, device)
            if PartialState().is_main_process:
                _keep(network, folder, progress, settings.kind, _Sample.of(rankings[0], passages))
            PartialState().wait_for_everyone()
    return _finished(folder)


def _learn(
    network: Any,
    rankings: Sequence[Ranking],
    epochs: Epochs,
    watchers: list[TrainerCallback],
    seed: int,
    device: str,
) -> None:
    """Run the epochs that are still to do."""
    arguments = _arguments(network, epochs.dev.settings, epochs.folder, seed, device)
    if arguments.device.type == "cpu" and is_small(network):
        keep_freed_memory()
    trainer = epochs.trainer = RankingTrainer(
        network, rankings, epochs.dev.passages, arguments, epochs.dev.settings, [epochs, *watchers]
    )
    checkpoint = latest_checkpoint(epochs.folder)
    if trainer.is_world_process_zero():
        remove_broken(epochs.folder)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if trainer.is_world_process_zero():
        epochs.progress.save(epochs.folder)
    trainer.accelerator.wait_for_everyone()


def _arguments(network: Any, settings: RerankerSettings, folder: Path, seed: int, device: str) -> TrainingArguments:
    if device == "cuda" and not torch.cuda.is_available():
        raise RunError("device: cuda, but torch finds no CUDA device. Set device: auto or cpu.")
    on_gpu = device != "cpu" and torch.cuda.is_available()
    dtype = autocast_dtype(settings.precision, network, "cuda" if on_gpu else "cpu")
    arguments = TrainingArguments(
        output_dir=str(folder),
        seed=seed,
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        per_device_train_batch_size=settings.batch_size,
        lr_scheduler_type=settings.schedule,
        warmup_steps=min(settings.warmup, 0.999),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm or 0.0,
        optim="adamw_torch",
        bf16=dtype is not None,
        use_cpu=not on_gpu,
        remove_unused_columns=False,
        save_strategy="no",  # `Epochs` asks for checkpoints
        save_total_limit=2,
        logging_steps=10,
        logging_nan_inf_filter=False,
        report_to=[],
        disable_tqdm=True,
        log_level="error",
        ddp_find_unused_parameters=settings.lora is None,  # a BERT has a pooler that no token's vector passes
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several devices are for torchrun
    return arguments


def _check(
    rankings: Sequence[Ranking], dev: Sequence[Ranking], passages: Mapping[str, Passage], settings: RerankerSettings
) -> None:
    """What would only be found in the middle of an epoch."""
    ranking_loss(settings.loss)
    if not rankings:
        raise TextError("no rankings to learn from. Did the search find candidates for any training question?")
    if not dev and settings.select != "last":
        raise RunError(f"select: {settings.select} needs dev rankings. Hold some questions out, or set select: last.")
    problems: list[str] = []
    for ranking in [*rankings, *dev]:
        ids, scores = ranking.passage_ids, ranking.scores
        if len(ids) < 2 or len(ids) != len(scores) or len(set(ids)) != len(ids):
            problems.append(
                f"{ranking.query_id}: {len(ids)} candidates, {len(set(ids))} distinct, {len(scores)} scores"
            )
        elif missing := [i for i in ids if i not in passages]:
            problems.append(f"{ranking.query_id}: no passage {missing[0]!r}")
        elif not all(abs(score) < float("inf") for score in scores):
            problems.append(f"{ranking.query_id}: a score is no finite number")
    if problems:
        advice = "A ranking needs two or more different passages, all known, and a score for each."
        raise TextError(all_problems(f"{len(problems)} ranking(s) cannot teach a reranker:", problems, advice))


def _claim(folder: Path, arguments: dict[str, Any]) -> None:
    """Make the folder this training's own, or find that it already is."""
    path = folder / "arguments.json"
    try:
        before = json.loads(path.read_text()) if path.exists() else arguments
        changed = sorted(key for key in before.keys() | arguments.keys() if before.get(key) != arguments.get(key))
        if changed:
            raise RunError(f"{folder} holds a reranker with other {', '.join(changed)}. Delete it, or use another.")
        write_json(path, arguments)
    except OSError as error:
        raise RunError(f"cannot write to {folder} ({error.strerror}). Choose another folder.") from error


def _digest(rankings: Sequence[Ranking], passages: Mapping[str, Passage]) -> str:
    used = sorted({i for ranking in rankings for i in ranking.passage_ids})
    texts = [[i, passages[i].title, passages[i].text] for i in used]
    rows = [[r.query_id, r.query, r.passage_ids, r.scores] for r in rankings]
    return hashlib.sha256(json.dumps([rows, texts]).encode()).hexdigest()


class _Sample(NamedTuple):
    """A question with some of its candidates, to compare a reranker with its copy on."""

    query: str
    passages: list[Passage]

    @classmethod
    def of(cls, ranking: Ranking, passages: Mapping[str, Passage]) -> _Sample:
        """The first candidates of a ranking."""
        return cls(ranking.query, [passages[i] for i in ranking.passage_ids[:8]])

    def scores(self, reranker: Reranker) -> torch.Tensor:
        """Of each passage."""
        return torch.tensor(reranker.scores([self.query], [self.passages]))


def _keep(network: Any, folder: Path, progress: Progress, kind: str, sample: _Sample) -> None:
    """Turn the best weights into `folder/model` and note the result as the last act.

    Raises ModelError where the reranker that is saved does not score a sample as the live one does.
    """
    kept, writing = folder / "model", folder / "model.partial"
    if not kept.exists():
        shutil.rmtree(writing, ignore_errors=True)
        load_weights(network, best_folder(folder, progress.best_epoch))
        network.eval()
        expected = sample.scores(network.reranker())
        network.keep(writing)
        if kind in RERANKERS:
            check_same(str(writing), expected, sample.scores(load_reranker(kind, writing)))
        open_to_readers(writing)
        writing.rename(kept)
    result = {"best_epoch": progress.best_epoch, "steps": progress.step, "seconds": round(progress.seconds, 3)}
    write_json(folder / FINISHED, result)
    for path in [*folder.glob("checkpoint-*"), *folder.glob("best-*")]:
        shutil.rmtree(path)
    (folder / FILE).unlink(missing_ok=True)


def _finished(folder: Path) -> TrainedReranker:
    result = json.loads((folder / FINISHED).read_text())
    return TrainedReranker(folder, read_jsonl(folder / "history.jsonl"), **result)

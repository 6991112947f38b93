"""What batches do to a student: held-out loss and speed by how rows are dealt into batches.

    python benchmarks/batching.py --data DATA          # the folder that TUTELAGE_DATA names

Four ways, with equal rows, learning rate and steps, each with the loss of a step divided by its tokens:

  by length          sorted by length, cut, and the batches shuffled: hardly any padding
  pooled             the same within pools of 8 batches drawn at random
  random             drawn at random, padded to the longest row
  random, in parts   the same batches, worked through in parts of similar length: what the package does

Held-out loss is in nats per token of dev rationales. Seconds are the processor's, of one thread, of whole epochs of
`train`; the four ways take turns, so that what else the machine does slows down all of them.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from scipy import stats

from tutelage.formats import get_format
from tutelage.methods.sources import annotate, load_task
from tutelage.models import load
from tutelage.recipe import TaskSection, TeacherSection
from tutelage.training import trainer
from tutelage.training.batching import Batches, RandomBatches, in_parts, tokenize
from tutelage.training.settings import Settings
from tutelage.training.student import train
from tutelage.types import Example, Split

TASKS = {"svamp": "SVAMP", "tracking_shuffled_objects": "Shuffled objects"}
LIMITS: dict[str, Any] = {"max_prompt_tokens": 144, "max_target_tokens": 384}
POOL = 8
"""Batches in a pool."""


class Run(NamedTuple):
    """One student."""

    loss: float
    """Nats per token of the dev rationales, after the last epoch."""
    seconds: float
    """Of the processor, an epoch."""
    steps: int


class ByLength(Batches):
    """Sorted by length over the whole set."""

    def __init__(self, lengths: Sequence[tuple[int, int]], *, accumulate: int = 1, **chosen: Any) -> None:
        super().__init__(lengths, **chosen)


class Pooled(RandomBatches):
    """Sorted by length within pools drawn at random."""

    def __iter__(self) -> Iterator[list[int]]:
        source = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(len(self.lengths), generator=source).tolist()
        size = self.rows or 1
        pools = [order[at : at + POOL * size] for at in range(0, len(order), POOL * size)]
        pools = [sorted(pool, key=lambda i: sum(self.lengths[i])) for pool in pools]
        batches = [pool[at : at + size] for pool in pools for at in range(0, len(pool), size)]
        return iter([batches[i] for i in torch.randperm(len(batches), generator=source).tolist()])


WAYS: dict[str, tuple[Callable[..., Any], float]] = {
    "by length": (ByLength, math.inf),
    "pooled": (Pooled, math.inf),
    "random": (RandomBatches, math.inf),
    "random, in parts": (RandomBatches, trainer.CPU_OVERHEAD),
}
"""How batches are made, and what a part of one costs; see `trainer.part_overhead`."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", default=os.environ.get("TUTELAGE_DATA"), help="folder of the data sets")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--model", default="pocket/nano")
    parser.add_argument("--rationales", type=int, default=288, help="to learn from")
    parser.add_argument("--dev", type=int, default=200, help="rationales to judge by")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for task in chosen.tasks:
        section = TaskSection(name=task, data=chosen.data)
        examples = examples_of(section, "train", chosen.rationales)
        dev = examples_of(section, "dev", chosen.dev)
        title = TASKS.get(task, str(task))
        print(table(title, examples, measure(examples, dev, chosen), chosen), flush=True)


def examples_of(section: TaskSection, split: Split, count: int) -> list[Example]:
    """The first recorded rationales of a split's questions."""
    fmt, questions = get_format("arrow"), {q.id: q for q in load_task(section).questions[split]}
    written = annotate(TeacherSection(), section, tuple(questions.values())).rationales
    return [
        Example(f"{r.question_id}#{r.sample}", fmt.prompt(q), fmt.target(r.text, q.answer))
        for r in written[:count]
        if (q := questions[r.question_id])
    ]


def measure(examples: list[Example], dev: list[Example], chosen: argparse.Namespace) -> dict[str, list[Run]]:
    """Each way with each seed."""
    found: dict[str, list[Run]] = {way: [] for way in WAYS}
    for seed in chosen.seeds:
        for way, runs in found.items():
            runs.append(one(way, examples, dev, seed, chosen))
            print(f"{way}, seed {seed}: {runs[-1].loss:.4f}, {runs[-1].seconds:.2f} s", file=sys.stderr, flush=True)
    return found


@contextmanager
def dealt(way: str) -> Iterator[None]:
    """The package with its batches made this way."""
    before = trainer.RandomBatches, trainer.CPU_OVERHEAD
    made: Any = WAYS[way]
    trainer.RandomBatches, trainer.CPU_OVERHEAD = made
    try:
        yield
    finally:
        trainer.RandomBatches, trainer.CPU_OVERHEAD = before


def one(way: str, examples: list[Example], dev: list[Example], seed: int, chosen: argparse.Namespace) -> Run:
    """A student of this seed. The last epoch is not timed, since the look at dev is in it."""
    settings = Settings(
        seed=seed,
        epochs=chosen.epochs,
        learning_rate=chosen.learning_rate,
        batch_size=chosen.batch,
        select="last",
        evaluate_every=chosen.epochs,
        precision="fp32",
        **LIMITS,
    )
    ends: list[float] = []

    def tell(numbers: dict[str, Any]) -> None:
        if "epoch_done" in numbers:
            ends.append(time.process_time())

    with dealt(way), tempfile.TemporaryDirectory() as folder:
        trained = train(
            examples,
            dev,
            settings,
            model=chosen.model,
            folder=Path(folder) / "student",
            device="cpu",
            progress=False,
            tensorboard=False,
            tell=tell,
        )
    timed = ends[:-1]
    return Run(trained.history[-1]["dev_loss"], (timed[-1] - timed[0]) / (len(timed) - 1), trained.steps)


def filled(way: str, examples: list[Example], chosen: argparse.Namespace) -> float:
    """The share of tokens that is no padding, in the first epoch of the first seed."""
    rows, _ = tokenize(load(chosen.model, device="cpu"), examples, **LIMITS)
    lengths, (make, overhead) = [row.lengths for row in rows], WAYS[way]
    padded = 0
    for batch in make(lengths, rows=chosen.batch, seed=chosen.seeds[0]):
        sizes = [lengths[i] for i in batch]
        for part in in_parts(sizes, overhead=overhead):
            padded += len(part) * (max(sizes[i][0] for i in part) + max(sizes[i][1] for i in part))
    return sum(map(sum, lengths)) / padded


def table(title: str, examples: list[Example], found: dict[str, list[Run]], chosen: argparse.Namespace) -> str:
    """In Markdown."""
    plain = found["random"]
    lines = [
        f"{title}: {len(examples)} rationales, {chosen.model}, batch {chosen.batch}, {chosen.epochs} epochs, "
        f"{plain[0].steps} steps, learning rate {chosen.learning_rate:g}, seeds {', '.join(map(str, chosen.seeds))}; "
        f"torch {torch.__version__}, transformers {transformers.__version__}, Python {platform.python_version()}",
        "",
        "| batches | filled | held-out nats per token | spread over seeds | worse than random | s an epoch | speed |",
        "|---|---|---|---|---|---|---|",
    ]
    for way, runs in found.items():
        losses, seconds = [run.loss for run in runs], statistics.median(run.seconds for run in runs)
        speed = statistics.median(theirs.seconds / run.seconds for theirs, run in zip(plain, runs, strict=True))
        worse = "-" if way == "random" else difference(losses, [run.loss for run in plain])
        lines.append(
            f"| {way} | {filled(way, examples, chosen):.0%} | {statistics.mean(losses):.4f} | {spread(losses)} | "
            f"{worse} | {seconds:.2f} | {speed:.2f}x |"
        )
    return "\n".join([*lines, ""])


def spread(losses: Sequence[float]) -> str:
    """Their standard deviation."""
    return f"{statistics.stdev(losses):.4f}" if len(losses) > 1 else "-"


def difference(losses: Sequence[float], plain: Sequence[float]) -> str:
    """The mean difference, seed by seed, with its 95% interval (Student's t)."""
    apart = [mine - theirs for mine, theirs in zip(losses, plain, strict=True)]
    if len(apart) < 2:
        return f"{apart[0]:+.4f}"
    reach = statistics.stdev(apart) / math.sqrt(len(apart)) * float(stats.t.ppf(0.975, len(apart) - 1))
    mean = statistics.mean(apart)
    return f"{mean:+.4f} [{mean - reach:+.4f}, {mean + reach:+.4f}]"


if __name__ == "__main__":
    main()

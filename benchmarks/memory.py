"""Must a small student know the facts by heart? What it recalls of more and more of them, with and without their book.

    python benchmarks/memory.py --work .cache/memory

KARD's section 4 bounds what a learner has to memorise: without a knowledge base every fact it shall answer for, with
one hardly more than how to find and read (theorem 2). Here a student is taught N facts of the bundled atlas, one
question each, and is then asked for the same N facts in other words, so that memory alone could answer. "By heart" is
reasoning distillation; "with the book" is KARD, whose passages are found by the rationale in training and, when asked,
by BM25, by a reranker taught the same N rationales, or by a rationale (the oracle, which knows the answer). The book
always holds the whole atlas. All students take the same number of steps, whatever N is, and so do all rerankers;
nothing is chosen by a score. Two more columns ask in the very words of training, and for 150 facts that nobody was
taught.

Intervals are for 95%, over questions and seeds as in reports.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers

from tutelage.evaluation.metrics import ArmScore, score_arm
from tutelage.methods.kard import grounded_student
from tutelage.methods.predicting import load, predictions
from tutelage.methods.sources import load_task
from tutelage.methods.study import Study
from tutelage.recipe import parse
from tutelage.report.plots import LogAxis
from tutelage.runs import Stage, Workspace, read_jsonl, write_jsonl
from tutelage.types import SPLITS, Prediction, Split, prediction_from_json, to_json

BATCH, RERANKER_BATCH = 32, 16
WAYS = ("by heart", "with the book, BM25", "with the book, reranker", "with the book, oracle")
ASKED: dict[Split, str] = {"train": "asked as taught", "test": "in other words", "dev": "never taught"}
"""What the questions of each split are to a student of the task `pocket/atlas-memory`."""
COLOURS = ("#c0392b", "#8e9aaf", "#2471a3", "#1e8449")


class Row(NamedTuple):
    """One way to answer, after so many facts."""

    facts: int
    steps: int
    way: str
    scores: dict[Split, ArmScore]


def main(arguments: Sequence[str] | None = None) -> None:
    """Teach, ask, print."""
    chosen = parse_arguments(arguments)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder:
            work = chosen.work or Path(folder)
            rows = [row for steps in chosen.steps for n in chosen.facts for row in measure(n, steps, work, chosen)]
    finally:
        torch.set_num_threads(threads)
    print(table(rows, chosen, time.monotonic() - began))
    if chosen.plot:
        chosen.plot.write_text(plot([row for row in rows if row.steps == chosen.steps[-1]]), encoding="utf-8")


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What is wanted on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--facts", type=int, nargs="+", default=[30, 120, 480, 1150])
    parser.add_argument("--steps", type=int, nargs="+", default=[400], help="of every student; several make more rows")
    parser.add_argument("--reranker-steps", type=int, default=240)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--model", default="pocket/nano")
    parser.add_argument("--learning-rate", type=float, default=4e-3)
    parser.add_argument("--work", type=Path, help="folder that keeps what is done, to go on with")
    parser.add_argument("--plot", type=Path, help="write the table's plot there, as SVG")
    return parser.parse_args(arguments)


def measure(facts: int, steps: int, work: Path, chosen: argparse.Namespace) -> list[Row]:
    """Every way to answer after so many facts, each with every seed."""
    study = new_study(facts, steps, work, chosen)
    found: dict[str, dict[Split, dict[int, list[Prediction]]]] = {w: {s: {} for s in SPLITS} for w in WAYS}
    for seed in chosen.seeds:
        learnt = study.train(study.lessons.rationales(study.taught()), seed)
        reading = grounded_student(study, seed)
        for way in WAYS:
            student = learnt if way == WAYS[0] else reading
            for split in ASKED:
                found[way][split][seed] = ask(study, student, split, beside(study, way, split))
        say(f"{facts} facts, {steps} steps, seed {seed}")
    return [Row(facts, steps, way, {s: score_arm(found[way][s]) for s in ASKED}) for way in WAYS]


def new_study(facts: int, steps: int, work: Path, chosen: argparse.Namespace) -> Study:
    """A study of so many facts in which every student and every reranker takes as many steps as any other."""
    raw: dict[str, Any] = {
        "task": {"name": "pocket/atlas-memory", "limit": facts},
        "teacher": {"backend": "pocket", "samples": 1},
        "knowledge": {
            "corpus": "pocket/atlas",
            "passages": 1,
            "candidates": 20,
            "reranker": {
                "base": chosen.model,
                "epochs": epochs(chosen.reranker_steps, facts, RERANKER_BATCH),
                "batch_size": RERANKER_BATCH,
                "learning_rate": 2e-3,
                "searched": 10,
                "lora": None,
                "dimension": None,
                "dev_limit": 20,
                "select": "last",
                "seed": 0,  # one for all seeds: intervals speak of this one
            },
        },
        "student": {
            "model": chosen.model,
            "learning_rate": chosen.learning_rate,
            "epochs": epochs(steps, facts, BATCH),
            "evaluate_every": epochs(steps, facts, BATCH),
            "batch_size": BATCH,
            "max_prompt_tokens": 96,
            "max_target_tokens": 64,
            "select": "last",
        },
        "arms": ["reasoning-distillation", "kard"],
        "seeds": chosen.seeds,
        "compute": {"device": "cpu"},
    }
    recipe = parse(raw, where="memory")
    return Study(recipe, load_task(recipe.task), Workspace(work))


def epochs(steps: int, facts: int, batch: int) -> int:
    """How often all facts are seen in about so many steps."""
    return max(1, round(steps / ceil(facts / batch)))


def beside(study: Study, way: str, split: Split) -> Stage | None:
    """What stands beside the questions of a split, this way."""
    knowledge = study.knowledge
    if way == WAYS[0]:
        return None
    if way == WAYS[1]:
        return knowledge.asked()
    return knowledge.reranked(split) if way == WAYS[2] else knowledge.silver(split)


def ask(study: Study, student: Stage, split: Split, passages: Stage | None) -> list[Prediction]:
    """A student's answers, greedy; kept as a stage, so that a run that was stopped goes on."""
    asked = {"questions": study.questions().fingerprint, "split": split, "beside": passages and passages.fingerprint}

    def make(folder: Path) -> None:
        written = predictions(
            study, load(study, student), study.of(split), study.recipe.student, source="student", beside=passages
        )
        write_jsonl(folder / "predictions.jsonl", (to_json(prediction) for prediction in written))

    stage = study.workspace.stage("answers", {"student": student.fingerprint, **asked}, make)
    return [prediction_from_json(row) for row in read_jsonl(stage.folder / "predictions.jsonl")]


def table(rows: Sequence[Row], chosen: argparse.Namespace, seconds: float) -> str:
    """What was measured, in Markdown."""
    head = ["facts", "steps", "each fact seen", "student", *(f"{name}, %" for name in ASKED.values())]
    lines = [
        [
            f"{row.facts:,}",
            f"{epochs(row.steps, row.facts, BATCH) * ceil(row.facts / BATCH):,}",
            f"{epochs(row.steps, row.facts, BATCH):,} times",
            row.way,
            *(told(row.scores[split]) for split in ASKED),
        ]
        for row in rows
    ]
    return "\n".join(
        [
            f"{chosen.model}, {len(chosen.seeds)} seeds, batch {BATCH}, learning rate {chosen.learning_rate:g}; "
            f"{seconds / 60:.0f} minutes on one core, less what `--work` held; torch {torch.__version__}, "
            f"transformers {transformers.__version__}, Python {platform.python_version()}",
            "",
            *(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *lines)),
        ]
    )


def told(score: ArmScore) -> str:
    """An accuracy in percent with its interval."""
    return f"{100 * score.accuracy:.1f} [{100 * score.low:.1f}, {100 * score.high:.1f}]"


def plot(rows: Sequence[Row]) -> str:
    """Accuracy in other words against the number of facts, as SVG: a line and its intervals for each way."""
    counts = sorted({row.facts for row in rows})
    along = LogAxis(counts[0] / 1.3, counts[-1] * 1.3)
    x = {facts: 60 + 5 * along.place(facts) for facts in counts}
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 330" font-family="sans-serif" font-size="13">']
    parts += [f'<text x="{x[n]:.0f}" y="295" text-anchor="middle">{n:,}</text>' for n in counts]
    for percent in range(0, 101, 25):
        parts.append(f'<path d="M60 {_y(percent)}H560" stroke="#ddd"/>')
        parts.append(f'<text x="52" y="{_y(percent) + 4}" text-anchor="end">{percent}%</text>')
    for way, colour in zip(WAYS, COLOURS, strict=True):
        line = sorted((r.facts, r.scores["test"]) for r in rows if r.way == way)
        points = " ".join(f"{x[n]:.1f},{_y(100 * s.accuracy)}" for n, s in line)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<path d="M{x[n]:.1f} {_y(100 * s.low)}V{_y(100 * s.high)}" stroke="{colour}" stroke-opacity="0.6"/>'
            for n, s in line
        ]
        parts.append(f'<text x="570" y="{40 + 20 * WAYS.index(way)}" fill="{colour}">{way}</text>')
    parts.append('<text x="310" y="320" text-anchor="middle">facts taught; asked in other words</text></svg>')
    return "\n".join(parts)


def _y(percent: float) -> float:
    """Where a percentage stands, in the plot's own units."""
    return round(275 - 2.5 * percent, 1)


def say(text: str) -> None:
    """Progress, beside the table."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

"""How fast a mentor writes rationales: plain `model.generate` against ours, on real questions, in one process.

    python benchmarks/augmentation.py --data DATA --work .cache/mentors     # the folder that TUTELAGE_DATA names

The plain way is what most published code does: questions in the order of the file, eight at a time, padded to the
longest, each batch computed on until its longest text ends. Ours is `LocalGenerator`. Both sample the same number of
texts for a question from the same distribution, and both begin at the question's text and end at the rationale's. What
counts is a written token up to and including the end mark; padding counts for nothing. Seconds are the processor's, of
one thread, so that other programs on the machine change them little.

The mentor is trained first on the rationales that came with the data, for two epochs, since random weights would never
write an end mark; it is kept in the folder `--work`. Without data only the bundled questions are used.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import transformers
from torch import Tensor

from tutelage.formats import get_format
from tutelage.generation.local import LocalGenerator
from tutelage.methods.sources import annotate
from tutelage.models import LanguageModel, cut_prompt, evaluating, load, quiet
from tutelage.recipe import TaskSection, TeacherSection
from tutelage.tasks.load import load_task
from tutelage.tasks.published import DATA
from tutelage.training.settings import Settings
from tutelage.training.student import train
from tutelage.types import Example, Question

TEMPERATURE = 0.7
"""Mentor-KD's shell script."""
AT_ONCE = 8
"""Questions in a batch of the plain way."""
FORMAT = get_format("arrow")


class Data(NamedTuple):
    """A set of questions, and how long its prompts and rationales may be in tokens of the bundled models."""

    title: str
    teacher: str
    prompt: int
    target: int


DATA_SETS = {
    "pocket/steps": Data("pocket/steps", "pocket", 128, 112),
    "svamp": Data("SVAMP", "recorded", 144, 384),
    "tracking_shuffled_objects": Data("Shuffled objects", "recorded", 256, 384),
}


class Pass(NamedTuple):
    """All questions written once."""

    texts: int
    tokens: int
    finished: int
    """Texts that came to their end mark."""
    seconds: float

    @property
    def speed(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


class Measured(NamedTuple):
    """One data set: the passes of both ways, written in turn."""

    data: Data
    questions: int
    plain: list[Pass]
    ours: list[Pass]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", default=os.environ.get(DATA), help=f"folder of the data sets; else {DATA}")
    parser.add_argument("--tasks", nargs="+", choices=DATA_SETS, help="else pocket/steps, and with data all")
    parser.add_argument("--model", default="pocket/mini", help="the mentor before training")
    parser.add_argument("--questions", type=int, default=200, help="the first so many training questions")
    parser.add_argument("--samples", type=int, default=3, help="texts for each question")
    parser.add_argument("--epochs", type=int, default=2, help="of the mentor's training")
    parser.add_argument("--rationales", type=int, help="the first so many to train on; else all")
    parser.add_argument("--batch-tokens", type=int, default=32768, help="padded tokens that ours holds at once")
    parser.add_argument("--repeat", type=int, default=3, help="passes of each way, in turn; the median counts")
    parser.add_argument("--work", type=Path, help="folder that keeps the trained mentors")
    chosen = parser.parse_args(arguments)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            chosen.work = chosen.work or Path(folder)
            names = chosen.tasks or (DATA_SETS if chosen.data else ["pocket/steps"])
            found = [measure(name, chosen) for name in names]
    finally:
        torch.set_num_threads(threads)
    print(table(found, chosen))


def measure(name: str, chosen: argparse.Namespace) -> Measured:
    """Both ways on one data set, one pass after the other."""
    data = DATA_SETS[name]
    questions = load_task(name, data=chosen.data if data.teacher == "recorded" else None).questions["train"]
    mentor = make_mentor(name, questions, chosen)
    prompts = [FORMAT.prompt(question) for question in questions[: chosen.questions]]
    ways: dict[str, Callable[[int], Pass]] = {
        "plain": lambda seed: plain_pass(mentor, prompts, data, chosen.samples, seed),
        "ours": lambda seed: our_pass(mentor, prompts, data, chosen, seed),
    }
    passes: dict[str, list[Pass]] = {way: [] for way in ways}
    for seed in range(chosen.repeat):
        for way, write in ways.items():
            passes[way].append(write(seed))
            say(f"{name}: {way}: {passes[way][-1].speed:.0f} tokens/s")
    return Measured(data, len(prompts), **passes)


def our_pass(mentor: LanguageModel, prompts: list[str], data: Data, chosen: argparse.Namespace, seed: int) -> Pass:
    """What a mentor does in this package."""
    began = time.process_time()
    generator = LocalGenerator(
        mentor, max_new_tokens=data.target, max_prompt_tokens=data.prompt, batch_tokens=chosen.batch_tokens
    )
    texts = generator.write(prompts, samples=chosen.samples, temperature=TEMPERATURE, seed=seed)
    seconds = time.process_time() - began
    found = [text for of_question in texts for text in of_question]
    return Pass(len(found), sum(t.tokens for t in found), sum(t.finished for t in found), seconds)


def plain_pass(mentor: LanguageModel, prompts: list[str], data: Data, samples: int, seed: int) -> Pass:
    """Batches in the order of the file, as most published code writes them."""
    torch.manual_seed(seed)
    began = time.process_time()
    lengths: list[tuple[int, bool]] = []
    with evaluating(mentor), quiet():
        for start in range(0, len(prompts), AT_ONCE):
            ids = [cut_prompt(mentor, mentor.prompt_ids(p), data.prompt) for p in prompts[start : start + AT_ONCE]]
            prompt_BS, mask_BS = padded(mentor, ids)
            written_BT = mentor.model.generate(
                input_ids=prompt_BS,
                attention_mask=mask_BS,
                max_new_tokens=data.target,
                num_return_sequences=samples,
                do_sample=True,
                temperature=TEMPERATURE,
                top_k=0,
            )
            for row in written_BT[:, 1 if mentor.kind == "encoder-decoder" else prompt_BS.shape[1] :].tolist():
                finished = mentor.eos_id in row
                length = row.index(mentor.eos_id) + 1 if finished else len(row)
                mentor.text(row[:length])
                lengths.append((length, finished))
    seconds = time.process_time() - began
    return Pass(len(lengths), sum(n for n, _ in lengths), sum(ended for _, ended in lengths), seconds)


def padded(mentor: LanguageModel, ids: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Prompts and mask, padded where the architecture wants it."""
    longest, left = max(map(len, ids)), mentor.kind == "causal"
    gaps = [longest - len(row) for row in ids]
    prompt = [
        left * gap * [mentor.pad_id] + row + (not left) * gap * [mentor.pad_id]
        for gap, row in zip(gaps, ids, strict=True)
    ]
    mask = [left * gap * [0] + len(row) * [1] + (not left) * gap * [0] for gap, row in zip(gaps, ids, strict=True)]
    return torch.tensor(prompt), torch.tensor(mask)


def make_mentor(name: str, questions: Sequence[Question], chosen: argparse.Namespace) -> LanguageModel:
    """The model after some epochs on the rationales of these questions; from `--work` if it has been there before."""
    data = DATA_SETS[name]
    by_id = {question.id: question for question in questions}
    taught = annotate(
        TeacherSection(backend=data.teacher, samples=1 if data.teacher == "pocket" else 3),
        TaskSection(name=name, data=chosen.data if data.teacher == "recorded" else None),
        questions,
    )
    examples = [
        Example(f"{r.question_id}#{r.sample}", FORMAT.prompt(q), FORMAT.target(r.text, q.answer))
        for r in taught.rationales
        if (q := by_id[r.question_id])
    ][: chosen.rationales]
    settings = Settings(
        seed=1,
        epochs=chosen.epochs,
        learning_rate=2e-3,
        batch_size=16,
        select="last",
        max_prompt_tokens=data.prompt,
        max_target_tokens=data.target,
    )
    folder = chosen.work / "-".join([name, chosen.model, str(chosen.epochs), str(len(examples))]).replace("/", "-")
    began = time.process_time()
    trained = train(
        examples, [], settings, model=chosen.model, folder=folder, device="cpu", progress=False, tensorboard=False
    )
    say(f"{name}: mentor of {len(examples)} rationales: {time.process_time() - began:.0f} s")
    return load(trained.model, device="cpu")


def table(found: Sequence[Measured], chosen: argparse.Namespace) -> str:
    """What was measured, in Markdown."""
    rows: list[str] = []
    for m in found:
        plain, ours = (statistics.median(p.speed for p in passes) for passes in (m.plain, m.ours))
        lengths = " / ".join(f"{p.tokens / p.texts:.0f}" for p in (m.plain[-1], m.ours[-1]))
        finished = " / ".join(f"{p.finished / p.texts:.0%}" for p in (m.plain[-1], m.ours[-1]))
        rows.append(
            f"| {m.data.title} | {m.questions} | {lengths} | {finished} "
            f"| {plain:,.0f} | {ours:,.0f} | {ours / plain:.1f}x |"
        )
    return "\n".join(
        [
            f"{chosen.model} after {chosen.epochs} epochs, {chosen.samples} samples at temperature {TEMPERATURE}, "
            f"{chosen.batch_tokens:,} tokens at once, median of {chosen.repeat}, 1 thread; "
            f"torch {torch.__version__}, transformers {transformers.__version__}, Python {platform.python_version()}",
            "",
            "| data | questions | tokens a text, plain / ours | finished, plain / ours "
            "| plain, tokens/s | ours, tokens/s | ratio |",
            "|---|---|---|---|---|---|---|",
            *rows,
        ]
    )


def say(text: str) -> None:
    """Progress, beside the table."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

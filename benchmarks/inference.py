"""How many questions a student answers in a second, five votes each, beside passages: ours against one at a time.

    python benchmarks/inference.py

The plain way is the published one of KARD (generate_predict.py): question by question, the five texts of each sampled
in one call of `model.generate`, read and put to the vote. Ours is `predict`, what a score in this package is made of:
prompts of similar length share a batch, and a row leaves it when its text ends. Both read the same prompts, cut to the
same limits, sample from the same distribution (temperature 0.7, nothing cut off) and grade in the same way. Each also
answers all questions greedily, where the texts must be equal; they may part only where rounding turns a near tie.
Seconds are the processor's, of one thread, so that other programs on the machine change them little.

Questions are comparisons of the bundled atlas, each beside the passages that answer it and others drawn by the
question's id. A student is trained first on the bundled teacher's rationales for some training questions, since before
it hardly writes one; it is kept in the folder `--work`. A larger student is one of random weights, which nothing
stops from writing to the limit: `--size 512x6`.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
import transformers
from transformers import T5Config, T5ForConditionalGeneration

from tutelage.evaluation.predict import majority, predict
from tutelage.fitting import fit
from tutelage.formats import get_format
from tutelage.generation.local import LocalGenerator
from tutelage.models import LanguageModel, cut_prompt, evaluating, load, quiet
from tutelage.pocket import atlas, teacher
from tutelage.tasks.answers import ANSWER_TYPES
from tutelage.tasks.grading import judge
from tutelage.training.settings import Settings
from tutelage.training.student import train
from tutelage.types import Example, Passage, Question, Rationale

TEMPERATURE = 0.7
FORMAT = get_format("answer-line")
LETTER = ANSWER_TYPES["letter"]


class Asked(NamedTuple):
    """A question with the passages that it has room for."""

    question: Question
    passages: tuple[Passage, ...]

    @property
    def prompt(self) -> str:
        """What the student reads."""
        return FORMAT.prompt(self.question, self.passages)


class Pass(NamedTuple):
    """All questions answered once."""

    answers: list[str | None]
    texts: list[str]
    """What was written, question by question."""
    tokens: int
    finished: int
    """Texts that came to their end mark."""
    seconds: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=["pocket/nano", "pocket/mini"], help="students before training")
    parser.add_argument("--rationales", type=int, default=800, help="what they are trained on for one epoch")
    parser.add_argument("--work", type=Path, help="folder that keeps the trained students")
    parser.add_argument("--size", nargs="*", default=[], help="also T5s of random weights, as WIDTHxLAYERS")
    parser.add_argument("--questions", type=int, default=200, help="the first so many of the test split")
    parser.add_argument("--passages", type=int, default=3, help="beside each question; KARD has 1 to 3")
    parser.add_argument("--votes", type=int, default=5)
    parser.add_argument("--prompt-tokens", type=int, default=384)
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--batch-tokens", type=int, default=65536, help="padded tokens that ours holds at once")
    parser.add_argument("--repeat", type=int, default=3, help="passes of each way, in turn; the median counts")
    chosen = parser.parse_args(arguments)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            chosen.work = chosen.work or Path(folder)
            students = [*(trained(model, chosen) for model in chosen.models), *map(random_t5, chosen.size)]
            rows = [measure(student, chosen) for student in students]
    finally:
        torch.set_num_threads(threads)
    print("\n".join([*heading(chosen), *rows]))


def trained(model: str, chosen: argparse.Namespace) -> LanguageModel:
    """The model after an epoch on rationales beside passages; from `--work` if it has been there before."""
    limits = {"max_prompt_tokens": chosen.prompt_tokens, "max_target_tokens": chosen.new_tokens}
    settings = Settings(seed=1, epochs=1, learning_rate=2e-3, batch_size=16, select="last", **limits)
    folder = chosen.work / f"{model}-{chosen.rationales}-{chosen.passages}".replace("/", "-")
    examples = [
        Example(a.question.id, a.prompt, FORMAT.target(written.text, written.answer or ""))
        for a in make_questions(load(model, device="cpu"), atlas.pairs("train")[: chosen.rationales], chosen)
        if (written := teacher.write(a.question, sample=0, seed=0))
    ]
    began = time.process_time()
    stage = train(examples, [], settings, model=model, folder=folder, device="cpu", progress=False, tensorboard=False)
    say(f"{model}: an epoch of {len(examples)} rationales: {time.process_time() - began:.0f} s")
    return replace(load(stage.model, device="cpu"), name=f"{model}, trained")


def random_t5(size: str) -> LanguageModel:
    """A student of the bundled vocabulary and random weights."""
    width, layers = map(int, size.split("x"))
    pocket = load("pocket/mini", device="cpu")
    torch.manual_seed(0)
    config = T5Config(**pocket.model.config.to_dict())
    config.d_model, config.num_layers, config.num_decoder_layers = width, layers, layers
    config.d_kv, config.num_heads, config.d_ff = 64, width // 64, 4 * width
    return replace(pocket, name=f"T5 {size}, random", model=T5ForConditionalGeneration(config).eval(), folder=None)


def measure(student: LanguageModel, chosen: argparse.Namespace) -> str:
    """Both ways, one pass after the other: a row of the table."""
    asked = make_questions(student, atlas.pairs("test")[: chosen.questions], chosen)
    greedy = [one_at_a_time(student, asked, chosen, votes=1), ours(student, asked, chosen, votes=1)]
    same = sum(a == b for a, b in zip(greedy[0].texts, greedy[1].texts, strict=True))
    voted = sum(a == b for a, b in zip(greedy[0].answers, greedy[1].answers, strict=True))
    say(f"{student.name}: greedily {same} texts and {voted} answers of {len(asked)} are the same")
    ways: dict[str, Callable[[int], Pass]] = {
        "one at a time": lambda seed: one_at_a_time(student, asked, chosen, votes=chosen.votes, seed=seed),
        "ours": lambda seed: ours(student, asked, chosen, votes=chosen.votes, seed=seed),
    }
    passes: dict[str, list[Pass]] = {way: [] for way in ways}
    for seed in range(chosen.repeat):
        for way, answer in ways.items():
            passes[way].append(answer(seed))
            say(f"{student.name}: {way}: {len(asked) / passes[way][-1].seconds:.2f} questions/s")
    plain, batched = (statistics.median(len(asked) / p.seconds for p in passes[way]) for way in ways)
    return (
        f"| {student.name} | {sum(p.numel() for p in student.model.parameters()) / 1e6:.1f}M "
        f"| {statistics.mean(len(student.prompt_ids(a.prompt)) for a in asked):.0f} "
        f"| {' / '.join(f'{p[-1].tokens / len(p[-1].texts):.0f}' for p in passes.values())} "
        f"| {' / '.join(f'{p[-1].finished / len(p[-1].texts):.0%}' for p in passes.values())} "
        f"| {same} and {voted} of {len(asked)} | {plain:.2f} | {batched:.2f} | {batched / plain:.1f}x |"
    )


def make_questions(student: LanguageModel, questions: Sequence[Question], chosen: argparse.Namespace) -> list[Asked]:
    """Questions with their own passages among others, fitted to the student's prompt."""
    corpus = {passage.id: passage for passage in atlas.corpus()}
    asked: list[Asked] = []
    for question in questions:
        rng = random.Random(hashlib.sha256(question.id.encode()).digest())
        own = question.meta["gold_passages"].split()
        others = rng.sample([id for id in corpus if id not in own], k=chosen.passages - len(own))
        shown = [corpus[id] for id in [*own, *others]]
        rng.shuffle(shown)
        fitted = fit(
            FORMAT, question, shown, length=lambda text: len(student.prompt_ids(text)), limit=chosen.prompt_tokens
        )
        asked.append(Asked(question, fitted.passages))
    return asked


def ours(
    student: LanguageModel, asked: Sequence[Asked], chosen: argparse.Namespace, *, votes: int, seed: int = 0
) -> Pass:
    """What a score is made of in this package."""
    began = time.process_time()
    generator = LocalGenerator(
        student,
        max_new_tokens=chosen.new_tokens,
        max_prompt_tokens=chosen.prompt_tokens,
        batch_tokens=chosen.batch_tokens,
    )
    predictions = predict(
        generator,
        [a.question for a in asked],
        FORMAT,
        lambda question, text: judge(question, LETTER, FORMAT, text),
        source="student",
        votes=votes,
        temperature=TEMPERATURE if votes > 1 else 0.0,
        seed=seed,
        passages={a.question.id: a.passages for a in asked},
    )
    seconds = time.process_time() - began
    return _passed([p.answer for p in predictions], [r for p in predictions for r in p.rationales], seconds)


def one_at_a_time(
    student: LanguageModel, asked: Sequence[Asked], chosen: argparse.Namespace, *, votes: int, seed: int = 0
) -> Pass:
    """Question by question, each with its votes, as published."""
    torch.manual_seed(seed)
    began = time.process_time()
    answers: list[str | None] = []
    written: list[Rationale] = []
    sampling = {"do_sample": True, "temperature": TEMPERATURE, "top_k": 0} if votes > 1 else {"do_sample": False}
    with evaluating(student), quiet():
        for question, prompt in ((a.question, a.prompt) for a in asked):
            ids = torch.tensor([cut_prompt(student, student.prompt_ids(prompt), chosen.prompt_tokens)])
            rows = student.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=chosen.new_tokens,
                num_return_sequences=votes,
                **sampling,
            )[:, 1 if student.kind == "encoder-decoder" else ids.shape[1] :]
            texts = [_written(student, question, row, sample) for sample, row in enumerate(rows.tolist())]
            answers.append(majority(texts).answer)
            written += texts
    return _passed(answers, written, time.process_time() - began)


def _written(student: LanguageModel, question: Question, row: list[int], sample: int) -> Rationale:
    """One row of `generate`, read and judged as `predict` does."""
    finished = student.eos_id in row
    row = row[: row.index(student.eos_id) + 1] if finished else row
    judged = judge(question, LETTER, FORMAT, student.text(row), strict=not finished)
    return Rationale(
        question.id,
        "student",
        sample,
        judged.rationale,
        judged.answer,
        judged.verdict,
        tokens=len(row),
        finished=finished,
    )


def _passed(answers: list[str | None], written: Sequence[Rationale], seconds: float) -> Pass:
    return Pass(
        answers,
        [f"{r.text} | {r.answer}" for r in written],
        sum(r.tokens for r in written),
        sum(r.finished for r in written),
        seconds,
    )


def heading(chosen: argparse.Namespace) -> list[str]:
    """What the table is of, and its first two lines."""
    return [
        f"{atlas.PAIRS}, {chosen.questions} questions with {chosen.passages} passages each, {chosen.votes} votes at "
        f"temperature {TEMPERATURE}, texts of at most {chosen.new_tokens} tokens, "
        f"{chosen.batch_tokens:,} tokens at once, median of {chosen.repeat}, 1 thread of {platform.machine()}; "
        f"torch {torch.__version__}, transformers {transformers.__version__}, Python {platform.python_version()}",
        "",
        "| student | size | tokens a prompt | tokens a text, one at a time / ours | finished, one at a time / ours "
        "| same texts and answers, greedily | one at a time, questions/s | ours, questions/s | ratio |",
        "|---|---|---|---|---|---|---|---|---|",
    ]


def say(text: str) -> None:
    """Progress, beside the table."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

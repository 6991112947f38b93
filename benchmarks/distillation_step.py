"""How long an epoch of Mentor-KD takes: the published way against ours, on real rationales, in one process.

    python benchmarks/distillation_step.py --data DATA          # the folder that TUTELAGE_DATA names

The published way, written here as a plain loop: the whole set is padded to its longest row, and the mentor runs in
every step, over padding too. (The published code also distils the padding; here it is masked, so that both ways have
the same loss.) Its batches are all of one size, so a few of them tell how long an epoch takes. Ours is the package as a
user runs it: `train` over a cache of soft labels, a whole epoch with everything the Trainer does, and the pass that
fills the cache, made once for all epochs.

Student and mentor are T5s of random weights; the tokenizer is of T5's kind and size, learnt here from Wikipedia
passages. Times depend on the machine, the ratio hardly does.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import sentencepiece
import torch
import torch.nn.functional as F  # noqa: N812
import transformers
from torch import Tensor
from transformers import T5Config, T5ForConditionalGeneration, T5Tokenizer

from tutelage.formats import get_format
from tutelage.methods.sources import annotate, load_task
from tutelage.models import LanguageModel, load
from tutelage.recipe import TaskSection, TeacherSection
from tutelage.rows import read_rows
from tutelage.training.batching import Collator, Row, tokenize
from tutelage.training.settings import Settings
from tutelage.training.soft_labels import write_soft_labels
from tutelage.training.soft_objective import FromSoftLabels
from tutelage.training.student import train
from tutelage.types import Example

VOCABULARY, MARKS = 32_128, 100
LIMITS: dict[str, Any] = {"max_prompt_tokens": 512, "max_target_tokens": 512}
"""Mentor-KD, Appendix B."""
WEIGHT = 0.3
TASKS = {"svamp": "SVAMP", "tracking_shuffled_objects": "Shuffled objects"}


class Measured(NamedTuple):
    """One data set, measured."""

    title: str
    examples: int
    fill: float
    """Share of the published way's target positions that hold a token."""
    published: float
    """Seconds an epoch."""
    ours: float
    """Seconds an epoch."""
    once: float
    """Seconds that the cache takes, once."""
    losses: tuple[float, float, float]
    """Per token on the same rows and weights: plain loop, ours with the whole vocabulary cached, ours with k = 16."""
    bytes_per_token: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", default=os.environ.get("TUTELAGE_DATA"), help="folder of the data sets")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--limit", type=int, help="only so many training questions")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=6, help="timed steps of the published way")
    parser.add_argument("--epochs", type=int, default=2, help="epochs of ours; the last is timed")
    parser.add_argument("--temperature", type=float, default=1.0, help="τ; Mentor-KD takes 1 or 2")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    with tempfile.TemporaryDirectory() as folder:
        say("learning a tokenizer ...")
        tokenizer = make_tokenizer(Path(folder) / "tokenizer", Path(chosen.data))
        found = [measure(task, Path(folder) / task, tokenizer, chosen) for task in chosen.tasks]
    print(table(found, chosen))


def measure(task: str, folder: Path, tokenizer: T5Tokenizer, chosen: argparse.Namespace) -> Measured:
    """Both ways on one data set."""
    texts = examples_of(TaskSection(name=task, data=chosen.data, limit=chosen.limit))
    student, mentor = make_models(folder, tokenizer)
    rows, _ = tokenize(student, texts, **LIMITS)
    fitting = {row.id for row in rows}
    texts = [text for text in texts if text.id in fitting]
    dense = Collator(student)(rows)
    published = len(rows) // chosen.batch * published_step(folder, dense, chosen)
    say(f"{task}: {len(rows)} rationales; published way: {published:.0f} s an epoch")
    began = time.perf_counter()
    write_soft_labels(mentor, texts, folder / "k16", **LIMITS, top_k=16, temperature=chosen.temperature)
    once = time.perf_counter() - began
    ours = our_epoch(folder, texts, chosen)
    say(f"{task}: ours: {ours:.1f} s an epoch, {once:.1f} s once")
    return Measured(
        title=TASKS.get(task, task),
        examples=len(rows),
        fill=float(dense["labels"].ne(-100).float().mean()),
        published=published,
        ours=ours,
        once=once,
        losses=same_losses(folder, student, mentor, texts, rows, dense, chosen.temperature),
        bytes_per_token=arrays_in(folder / "k16") / sum(len(row.target) for row in rows),
    )


# --- the published way


def published_loss(
    student: torch.nn.Module, mentor: torch.nn.Module, batch: dict[str, Tensor], temperature: float
) -> Tensor:
    """Cross-entropy and KL over the whole vocabulary, both models run, padding masked at the very end."""
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "decoder_input_ids")}
    labels_BT = batch["labels"]
    logits_BTV = student(**inputs).logits
    with torch.no_grad():
        wanted_BTV = mentor(**inputs).logits
    rationale = F.cross_entropy(logits_BTV.flatten(0, 1), labels_BT.flatten(), ignore_index=-100)
    kl_BT = F.kl_div(
        F.log_softmax(logits_BTV / temperature, -1), F.softmax(wanted_BTV / temperature, -1), reduction="none"
    ).sum(-1)
    counted_BT = labels_BT.ne(-100)
    soft = (kl_BT * counted_BT).sum() / counted_BT.sum() * temperature**2
    return (1 - WEIGHT) * rationale + WEIGHT * soft


def published_step(folder: Path, dense: dict[str, Tensor], chosen: argparse.Namespace) -> float:
    """Median seconds of a step."""
    student, mentor = load(folder / "student", device="cpu").model.train(), load(folder / "mentor", device="cpu").model
    optimizer = torch.optim.AdamW(student.parameters(), lr=3e-4)
    seconds: list[float] = []
    for batch in batches_of(dense, chosen.batch, chosen.steps + 1):
        began = time.perf_counter()
        published_loss(student, mentor, batch, chosen.temperature).backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


def batches_of(dense: dict[str, Tensor], size: int, count: int) -> Iterator[dict[str, Tensor]]:
    """Random batches, as a shuffling loader gives them."""
    order = list(range(len(dense["labels"])))
    random.Random(1).shuffle(order)
    for start in range(0, min(count * size, len(order) - size + 1), size):
        yield {name: tensor[order[start : start + size]] for name, tensor in dense.items()}


# --- ours


def our_epoch(folder: Path, texts: list[Example], chosen: argparse.Namespace) -> float:
    """Seconds of the last epoch of a training over the cache."""
    settings = Settings(
        seed=1, epochs=chosen.epochs, learning_rate=3e-4, batch_size=chosen.batch, select="last", **LIMITS
    )
    trained = train(
        texts,
        [],
        settings,
        model=folder / "student",
        folder=folder / "trained",
        teaching=taught_by(folder / "k16", chosen.temperature),
        device="cpu",
        progress=False,
        tensorboard=False,
    )
    return trained.history[-1]["seconds"]


def taught_by(labels: Path, temperature: float) -> FromSoftLabels:
    """The loss of Mentor-KD, Eq. 5, over a cache."""
    return FromSoftLabels(labels, labels.name, weight=WEIGHT, temperature=temperature)


def same_losses(
    folder: Path,
    student: LanguageModel,
    mentor: LanguageModel,
    texts: Sequence[Example],
    rows: Sequence[Row],
    dense: dict[str, Tensor],
    temperature: float,
    count: int = 16,
) -> tuple[float, float, float]:
    """The loss of the same rows by the plain loop, by ours with everything cached, and by ours with k = 16."""
    write_soft_labels(mentor, list(texts[:count]), folder / "whole", **LIMITS, top_k=None, temperature=temperature)
    few = {name: tensor[:count] for name, tensor in dense.items()}
    with torch.no_grad():
        plain = float(published_loss(student.model, mentor.model, few, temperature))
        whole, k16 = (
            our_loss(taught_by(folder / name, temperature), student, rows[:count]) for name in ("whole", "k16")
        )
    return plain, whole, k16


def our_loss(teaching: FromSoftLabels, student: LanguageModel, rows: Sequence[Row]) -> float:
    """The loss of one batch of these rows, per token."""
    objective = teaching.prepare(student, rows, Settings(seed=1, epochs=1, learning_rate=1e-3, **LIMITS))
    found = objective(student.model, objective.collate(objective.groups))
    return float(found.loss.sum / found.loss.count)


# --- what is measured on


def examples_of(section: TaskSection) -> list[Example]:
    """The recorded rationales of a task's training questions, in the order of the file."""
    fmt, questions = get_format("arrow"), {q.id: q for q in load_task(section).questions["train"]}
    written = annotate(TeacherSection(), section, tuple(questions.values())).rationales
    return [
        Example(f"{r.question_id}#{r.sample}", fmt.prompt(q), fmt.target(r.text, q.answer))
        for r in written
        if (q := questions[r.question_id])
    ]


def make_models(folder: Path, tokenizer: T5Tokenizer) -> tuple[LanguageModel, LanguageModel]:
    """A student of 2 layers of 128 and a mentor of 4 layers of 256, of random weights, written to the folder."""
    for name, width, layers in (("student", 128, 2), ("mentor", 256, 4)):
        torch.manual_seed(width)
        config = T5Config(
            vocab_size=len(tokenizer),
            d_model=width,
            d_kv=width // 4,
            d_ff=width * 4,
            num_layers=layers,
            num_heads=4,
            dropout_rate=0.0,
        )
        config.decoder_start_token_id = 0
        T5ForConditionalGeneration(config).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return load(folder / "student", device="cpu"), load(folder / "mentor", device="cpu")


def make_tokenizer(folder: Path, data: Path) -> T5Tokenizer:
    """A tokenizer of T5's kind and size, 32,028 pieces and 100 marks, learnt from Wikipedia passages."""
    folder.mkdir(parents=True, exist_ok=True)
    passages = [row.values for row in read_rows(data / "wiki_kb/all_passages.jsonl.gz", [])]
    (folder / "text.txt").write_text("\n".join(str(passage["text"]) for passage in passages), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text.txt"),
        model_prefix=str(folder / "spiece"),
        vocab_size=VOCABULARY - MARKS,
        model_type="unigram",
        normalization_rule_name="nmt_nfkc",
        character_coverage=0.9995,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        pad_piece="<pad>",
        minloglevel=2,
    )
    return T5Tokenizer.from_pretrained(folder, extra_ids=MARKS)


def arrays_in(folder: Path) -> int:
    """Bytes of a cache's arrays."""
    return sum(path.stat().st_size for path in folder.iterdir() if not path.suffix.startswith(".json"))


# --- what is shown


def table(found: Sequence[Measured], chosen: argparse.Namespace) -> str:
    """Both tables in Markdown."""
    return "\n".join(
        [
            f"batch {chosen.batch}, {chosen.threads} thread(s), T5 128x2 from T5 256x4, vocabulary {VOCABULARY:,}, "
            f"λ {WEIGHT}, τ {chosen.temperature:g}; torch {torch.__version__}, "
            f"transformers {transformers.__version__}, Python {platform.python_version()}",
            "",
            "| data | rationales | filled | published, s/epoch | ours, s/epoch | ratio | cache | over 20 epochs |",
            "|---|---|---|---|---|---|---|---|",
            *(
                f"| {m.title} | {m.examples} | {m.fill:.0%} | {m.published:.0f} | {m.ours:.1f} "
                f"| {m.published / m.ours:.1f}x | {m.once:.1f} s | {20 * m.published / (20 * m.ours + m.once):.1f}x |"
                for m in found
            ),
            "",
            "| data | loss a token, plain loop | ours, whole vocabulary | ours, k = 16 | bytes a token |",
            "|---|---|---|---|---|",
            *(
                f"| {m.title} | {m.losses[0]:.6f} | {m.losses[1]:.6f} ({m.losses[1] - m.losses[0]:+.1e}) "
                f"| {m.losses[2]:.6f} ({m.losses[2] - m.losses[0]:+.1e}) | {m.bytes_per_token:.0f} |"
                for m in found
            ),
        ]
    )


def say(text: str) -> None:
    """Progress, beside the table."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

"""How long an epoch of Mentor-KD takes: the published way against ours, on real rationales, in one process.

    python benchmarks/distillation_step.py --data DATA          # the folder that TUTELAGE_DATA names

The published way, written here as a plain loop: the whole set is padded to its longest row, and the mentor runs in
every step, over padding too. (The published code also distils the padding; here it is masked, so that both ways have
the same loss.) Its batches are all of one size, so a few of them tell how long an epoch takes. Ours is the package as a
user runs it: `train` over a cache of soft labels, a whole epoch with everything the Trainer does, and the pass that
fills the cache, made once for all epochs.

Student and mentor are T5s of random weights; the tokenizer is of T5's kind and size, learnt here from Wikipedia
passages. Seconds are the processor's, of one thread, so that other programs on the machine change them little. Much of
what the published way takes may go into memory that is given back to the system and fetched again in every step, which
depends on the machine and its kernel; so it is timed a second time with `keep_freed_memory`, as ours has it.
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
from tutelage.training.losses import IGNORED
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


class Prepared(NamedTuple):
    """One data set with its models, and the published way's time on it."""

    title: str
    folder: Path
    texts: list[Example]
    rows: list[Row]
    dense: dict[str, Tensor]
    """All rows padded to the longest."""
    published: float
    """Seconds an epoch."""
    mended: float
    """The same without distilling the padding."""

    @property
    def tokens(self) -> int:
        """Tokens of all targets."""
        return sum(len(row.target) for row in self.rows)


class Measured(NamedTuple):
    """Ours on it."""

    ours: float
    """Seconds an epoch, in float32."""
    in_bf16: float
    """The same with `precision: bf16`."""
    once: float
    """Seconds that the cache takes, once."""
    memory_kept: float
    """Seconds an epoch of the published way in a process that keeps freed memory, as ours does."""
    losses: tuple[float, ...]
    """Per token on the same rows and weights: plain loop, then ours with the whole vocabulary cached, the same in bf16,
    and with k = 16."""
    bytes_per_token: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", default=os.environ.get("TUTELAGE_DATA"), help="folder of the data sets")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--limit", type=int, help="only so many training questions")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=6, help="timed steps of the published way")
    parser.add_argument("--epochs", type=int, default=2, help="epochs of ours, at least 2; the last is timed")
    parser.add_argument("--temperature", type=float, default=1.0, help="τ; Mentor-KD takes 1 or 2")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        say("learning a tokenizer ...")
        tokenizer = make_tokenizer(Path(folder) / "tokenizer", Path(chosen.data))
        # The published way first, for all data sets: ours changes how the process keeps memory.
        prepared = [prepare(task, Path(folder) / task, tokenizer, chosen) for task in chosen.tasks]
        found = [(data, measure(data, chosen)) for data in prepared]
        print(table(found, chosen))


def prepare(task: str, folder: Path, tokenizer: T5Tokenizer, chosen: argparse.Namespace) -> Prepared:
    """Rows and models of one data set, and how long the published way takes."""
    texts = examples_of(TaskSection(name=task, data=chosen.data, limit=chosen.limit))
    student, _ = make_models(folder, tokenizer)
    rows, _ = tokenize(student, texts, **LIMITS)
    fitting = {row.id for row in rows}
    dense = Collator(student)(rows)
    published, mended = (published_epoch(folder, dense, chosen, padding=padding) for padding in (True, False))
    say(f"{task}: {len(rows)} rationales; published way: {published:.0f} s an epoch, {mended:.0f} s without padding")
    fitting_texts = [text for text in texts if text.id in fitting]
    return Prepared(TASKS.get(task, task), folder, fitting_texts, rows, dense, published, mended)


def measure(data: Prepared, chosen: argparse.Namespace) -> Measured:
    """Ours on the same rows."""
    mentor, k16 = load(data.folder / "mentor", device="cpu"), data.folder / "k16"
    began = time.process_time()
    write_soft_labels(mentor, data.texts, k16, **LIMITS, top_k=16, temperature=chosen.temperature)
    once = time.process_time() - began
    ours, in_bf16 = (our_epoch(data.folder, data.texts, precision, chosen) for precision in ("fp32", "bf16"))
    say(f"{data.title}: ours: {ours:.1f} s an epoch, {in_bf16:.1f} s in bf16, {once:.1f} s once")
    memory_kept = published_epoch(data.folder, data.dense, chosen, padding=True)  # `train` has switched it on
    losses = same_losses(data, mentor, chosen.temperature)
    return Measured(ours, in_bf16, once, memory_kept, losses, arrays_in(k16) / data.tokens)


# --- the published way


def published_loss(
    student: torch.nn.Module, mentor: torch.nn.Module, batch: dict[str, Tensor], temperature: float, *, padding: bool
) -> Tensor:
    """The steps of the published loop: both models run with their own loss, then KL where the labels say.

    With `padding` it is as published: labels are compared with 0, which no padding is, so all of it is distilled.
    Without, padding is left out, and the loss is what it is meant to be.
    """
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "labels")}
    labels_BT = batch["labels"]
    with torch.no_grad():
        wanted_BTV = mentor(**inputs).logits
    written = student(**inputs)
    taken_BT = labels_BT.ne(0 if padding else IGNORED)
    logits_NV, wanted_NV = written.logits[taken_BT], wanted_BTV[taken_BT]
    soft = F.kl_div(
        F.log_softmax(logits_NV / temperature, -1), F.softmax(wanted_NV / temperature, -1), reduction="batchmean"
    )
    return (1 - WEIGHT) * written.loss + WEIGHT * soft * temperature**2


def published_epoch(folder: Path, dense: dict[str, Tensor], chosen: argparse.Namespace, *, padding: bool) -> float:
    """Seconds of an epoch: as many steps as the rows make, each of the median's time of a few."""
    student, mentor = load(folder / "student", device="cpu").model.train(), load(folder / "mentor", device="cpu").model
    optimizer = torch.optim.AdamW(student.parameters(), lr=3e-4)
    seconds: list[float] = []
    for batch in batches_of(dense, chosen.batch, chosen.steps + 1):
        began = time.process_time()
        published_loss(student, mentor, batch, chosen.temperature, padding=padding).backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.process_time() - began)
    return statistics.median(seconds[1:]) * (len(dense["labels"]) // chosen.batch)


def batches_of(dense: dict[str, Tensor], size: int, count: int) -> Iterator[dict[str, Tensor]]:
    """Random batches, as a shuffling loader gives them."""
    order = list(range(len(dense["labels"])))
    random.Random(1).shuffle(order)
    for start in range(0, min(count * size, len(order) - size + 1), size):
        yield {name: tensor[order[start : start + size]] for name, tensor in dense.items()}


# --- ours


def our_epoch(folder: Path, texts: list[Example], precision: Any, chosen: argparse.Namespace) -> float:
    """Seconds of the last epoch of a training over the cache."""
    settings = Settings(
        seed=1,
        epochs=chosen.epochs,
        learning_rate=3e-4,
        batch_size=chosen.batch,
        select="last",
        precision=precision,
        **LIMITS,
    )
    ends: list[float] = []

    def tell(numbers: dict[str, Any]) -> None:
        if "epoch_done" in numbers:
            ends.append(time.process_time())

    train(
        texts,
        [],
        settings,
        model=folder / "student",
        folder=folder / f"trained-{precision}",
        teaching=taught_by(folder / "k16", chosen.temperature),
        device="cpu",
        progress=False,
        tensorboard=False,
        tell=tell,
    )
    return ends[-1] - ends[-2]


def taught_by(labels: Path, temperature: float) -> FromSoftLabels:
    """The loss of Mentor-KD, Eq. 5, over a cache."""
    return FromSoftLabels(labels, labels.name, weight=WEIGHT, temperature=temperature)


def same_losses(data: Prepared, mentor: LanguageModel, temperature: float, count: int = 16) -> tuple[float, ...]:
    """The loss of the same rows: see `Measured.losses`."""
    student, whole = load(data.folder / "student", device="cpu"), data.folder / "whole"
    write_soft_labels(mentor, data.texts[:count], whole, **LIMITS, top_k=None, temperature=temperature)
    few = {name: tensor[:count] for name, tensor in data.dense.items()}
    with torch.no_grad():
        plain = float(published_loss(student.model, mentor.model, few, temperature, padding=False))
        everything, k16 = (taught_by(path, temperature) for path in (whole, data.folder / "k16"))
        ours = [our_loss(cache, student, data.rows[:count]) for cache in (everything, k16)]
        with torch.autocast("cpu", torch.bfloat16):
            in_bf16 = our_loss(everything, student, data.rows[:count])
    return plain, ours[0], in_bf16, ours[1]


def our_loss(teaching: FromSoftLabels, student: LanguageModel, rows: Sequence[Row]) -> float:
    """The loss of one batch of these rows, per token."""
    objective = teaching.prepare(student, rows, Settings(seed=1, epochs=1, learning_rate=1e-3, **LIMITS))
    found = objective(student.model, objective.collate(objective.groups))
    return float(found.loss.sum / found.loss.count)


# --- what is measured on


def examples_of(section: TaskSection) -> list[Example]:
    """The recorded rationales of a task's training questions, in the order of the file.

    White space is collapsed, as T5's tokenizer reads it in the published way; the package would keep line breaks.
    """
    fmt, questions = get_format("arrow"), {q.id: q for q in load_task(section).questions["train"]}
    written = annotate(TeacherSection(), section, tuple(questions.values())).rationales
    return [
        Example(f"{r.question_id}#{r.sample}", collapsed(fmt.prompt(q)), collapsed(fmt.target(r.text, q.answer)))
        for r in written
        if (q := questions[r.question_id])
    ]


def collapsed(text: str) -> str:
    """A text with runs of white space as one space."""
    return " ".join(text.split())


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


def table(found: Sequence[tuple[Prepared, Measured]], chosen: argparse.Namespace) -> str:
    """Both tables in Markdown."""
    return "\n".join(
        [
            f"batch {chosen.batch}, 1 thread, T5 128x2 from T5 256x4, vocabulary {VOCABULARY:,}, "
            f"λ {WEIGHT}, τ {chosen.temperature:g}; torch {torch.__version__}, "
            f"transformers {transformers.__version__}, Python {platform.python_version()}",
            "",
            "| data | rationales | filled | published | mask mended | memory kept | ours | ratios | in bf16 | ratios |"
            " cache, once |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
            *(_times(data, measured) for data, measured in found),
            "",
            "Seconds an epoch, and ratios to the published way as it is (with its mask mended, so that padding is not",
            "distilled; as it is, in a process that keeps freed memory). The cache is written once for all epochs.",
            "",
            "| data | loss a token, plain loop | ours, whole vocabulary | the same in bf16 | k = 16 | bytes a token |",
            "|---|---|---|---|---|---|",
            *(
                f"| {d.title} | {m.losses[0]:.6f} | "
                + " | ".join(f"{loss:.6f} ({loss - m.losses[0]:+.1e})" for loss in m.losses[1:])
                + f" | {m.bytes_per_token:.0f} |"
                for d, m in found
            ),
            "",
            "A mentor of random weights is nearly undecided between all tokens, the worst case for k = 16.",
        ]
    )


def _times(data: Prepared, found: Measured) -> str:
    filled = float(data.dense["labels"].ne(IGNORED).float().mean())
    theirs = (data.published, data.mended, found.memory_kept)
    cells = [data.title, len(data.rows), f"{filled:.0%}", *(f"{seconds:.0f} s" for seconds in theirs)]
    for ours in (found.ours, found.in_bf16):
        first, *others = (f"{seconds / ours:.1f}x" for seconds in theirs)
        cells += [f"{ours:.1f} s", f"{first} ({', '.join(others)})"]
    return f"| {' | '.join(map(str, cells))} | {found.once:.1f} s |"


def say(text: str) -> None:
    """Progress, beside the table."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

"""Make the pocket checkpoints again: tokenizer, weights and a report of what each one can do.

    python -m tutelage.pocket.pretrain                      all of them, with fixed seeds, in about an hour on two cores
    python -m tutelage.pocket.pretrain --only nano --out d  one of them, into d/nano

Students learn `tutelage.pocket.skills` alone, never a task. Tiny models run fastest on one thread each, so the largest
one trains in a process of its own beside the others.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from tutelage.formats import get_format
from tutelage.pocket import CHECKPOINTS, NAMES, atlas, skills, steps
from tutelage.pocket.skills import SKILLS, Pair
from tutelage.pocket.tokenizer import fast

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SEED = 7
CHECK_SEED = 1_000_003
"""Skills are checked on draws from this seed."""
CHECKED = 200
"""Draws a skill is checked on."""
TASK_CHECKED = 400
"""Test questions of each task that the untaught checkpoint is asked."""
POOL = 16
"""Batches drawn at once, sorted by length and cut, so that a batch holds texts of like length."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one checkpoint is pretrained."""

    steps: int
    batch: int
    learning_rate: float
    scaled: bool = False
    """Whether each weight's rate follows its size at the start; see `groups`."""
    warm_up: int = 300
    more_sums: int = 0
    """Steps of a second course in which every other draw is a sum: what a mentor with few rationales lacks most."""


PLANS = {
    "nano": Plan(steps=14_000, batch=32, learning_rate=3e-3),
    "mini": Plan(steps=8_000, batch=32, learning_rate=2.5e-3, scaled=True, more_sums=1_200),
    "causal-nano": Plan(steps=5_000, batch=32, learning_rate=3e-3, scaled=True),
}


def make_model(name: str, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """The untrained model of one checkpoint."""
    from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

    marks: dict[str, Any] = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    if name == "causal-nano":
        config = LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=96, intermediate_size=224, num_hidden_layers=3,
            num_attention_heads=6, max_position_embeddings=512, tie_word_embeddings=True, bos_token_id=None, **marks,
        )  # fmt: skip
        return LlamaForCausalLM(config)
    size = {"nano": (80, 224, 2, 5), "mini": (128, 384, 3, 8)}[name]
    width, inner, layers, heads = size
    marks |= {"decoder_start_token_id": tokenizer.pad_token_id, "tie_word_embeddings": True}
    config = T5Config(
        vocab_size=len(tokenizer), d_model=width, d_kv=16, d_ff=inner, num_layers=layers, num_heads=heads,
        dropout_rate=0.0, **marks,
    )  # fmt: skip
    return T5ForConditionalGeneration(config)


def batches(
    tokenizer: PreTrainedTokenizerBase, plan: Plan, *, seed: int, causal: bool, sums: float = 0.0
) -> Iterator[dict[str, Tensor]]:
    """Endless batches of skills, a share of `sums` drawn from sums alone; each holds texts of like length."""
    rng = Random(seed)
    while True:
        pairs = [
            skills.add(rng) if sums and rng.random() < sums else skills.draw(rng) for _ in range(POOL * plan.batch)
        ]
        rows = encode(tokenizer, pairs)
        rows.sort(key=lambda row: (len(row[1]) // 6, len(row[0])))
        cut = [rows[at : at + plan.batch] for at in range(0, len(rows), plan.batch)]
        rng.shuffle(cut)
        for batch in cut:
            yield collate(batch, causal=causal)


def encode(tokenizer: PreTrainedTokenizerBase, pairs: list[Pair]) -> list[tuple[list[int], list[int]]]:
    """Token ids of prompts and targets; a target ends with the end mark, a prompt as its tokenizer ends texts."""
    prompts: Any = tokenizer([pair.prompt for pair in pairs])["input_ids"]
    targets: Any = tokenizer([pair.target for pair in pairs], add_special_tokens=False)["input_ids"]
    end: Any = tokenizer.eos_token_id
    return [(p, [*t, end]) for p, t in zip(prompts, targets, strict=True)]


def collate(rows: list[tuple[list[int], list[int]]], *, causal: bool) -> dict[str, Tensor]:
    """A padded batch with loss on the targets alone."""
    import torch

    def pad(lists: list[list[int]], fill: int) -> Tensor:
        longest = max(map(len, lists))
        return torch.tensor([ids + [fill] * (longest - len(ids)) for ids in lists])

    sources = [p + t if causal else p for p, t in rows]
    labels = [[-100] * len(p) + t if causal else t for p, t in rows]
    mask = pad([[1] * len(ids) for ids in sources], 0)
    return {"input_ids": pad(sources, 0), "attention_mask": mask, "labels": pad(labels, -100)}


def rate(step: int, plan: Plan) -> float:
    """Learning rate: a straight warm-up, then half a cosine down to a hundredth."""
    if step < plan.warm_up:
        return plan.learning_rate * (step + 1) / plan.warm_up
    done = (step - plan.warm_up) / max(1, plan.steps - plan.warm_up)
    return plan.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


def groups(model: PreTrainedModel, *, scaled: bool) -> list[dict[str, Any]]:
    """What the optimizer moves: everything at one rate, or each weight at 0.3 to 10 times it, by its size at the start.

    Adam moves every weight by about the learning rate, but T5 starts its embeddings ten times larger than the rest, so
    at one rate for all they move little at first (docs/decisions/0006). Adafactor's relative steps do the same.
    """
    if not scaled:
        return [{"params": list(model.parameters()), "scale": 1.0, "weight_decay": 0.01}]
    sizes = [(weight, float(weight.detach().pow(2).mean().sqrt())) for weight in model.parameters()]
    return [{"params": [w], "scale": min(max(size / 0.1, 0.3), 10.0), "weight_decay": 0.0} for w, size in sizes]


def pretrain(name: str, out: Path, *, plan: Plan, seed: int = SEED) -> Path:
    """Train one checkpoint, check its skills, save both into `out/name` and give back that folder."""
    import torch

    torch.manual_seed(seed)
    tokenizer = fast(ends=not name.startswith("causal"))
    model: Any = make_model(name, tokenizer)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    start = time.monotonic()
    tokens = take_course(name, model, tokenizer, plan, seed=seed)
    if plan.more_sums:
        tokens += take_course(name, model, tokenizer, replace(plan, steps=plan.more_sums), seed=seed + 1, sums=0.5)
    report = {
        "parameters": sum(p.numel() for p in model.parameters()), **asdict(plan), "seed": seed, "tokens": tokens,
        "seconds": round(time.monotonic() - start), "device": model.device.type, "draws": CHECKED,
        "skills": check_skills(model, tokenizer, CHECKED), "zero_shot": check_tasks(model, tokenizer),
    }  # fmt: skip
    print(json.dumps(report), flush=True)
    save(model, tokenizer, out / name, report)
    return out / name


def take_course(
    name: str, model: Any, tokenizer: PreTrainedTokenizerBase, plan: Plan, *, seed: int, sums: float = 0.0
) -> int:
    """Train for `plan.steps` with a schedule and draws of its own; gives back how many tokens were seen."""
    import torch

    causal = not model.config.is_encoder_decoder
    moved = groups(model, scaled=plan.scaled)
    optimizer = torch.optim.AdamW(moved, lr=plan.learning_rate, betas=(0.9, 0.98), fused=True)
    stream = batches(tokenizer, plan, seed=seed, causal=causal, sums=sums)
    tokens = 0
    for step in range(plan.steps):
        batch = {key: value.to(model.device) for key, value in next(stream).items()}
        for group in optimizer.param_groups:
            group["lr"] = rate(step, plan) * group["scale"]
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        tokens += int(batch["attention_mask"].sum()) + (0 if causal else int((batch["labels"] >= 0).sum()))
        if step % 500 == 0:
            print(f"{name} step {step} of {plan.steps} loss {loss.item():.3f}", flush=True)
    return tokens


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, report: dict[str, Any]) -> None:
    """Write an ordinary Hugging Face folder and its report."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "skills.json").write_text(json.dumps(report, indent=2) + "\n")


def check_skills(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, draws: int) -> dict[str, float]:
    """Share of held-out draws of each skill that the model writes exactly."""
    shares: dict[str, float] = {}
    for skill, (_, draw) in SKILLS.items():
        rng = Random(f"{CHECK_SEED} {skill}")
        pairs = [draw(rng) for _ in range(draws)]
        written = write(model, tokenizer, [pair.prompt for pair in pairs])
        right = sum(w == pair.target for w, pair in zip(written, pairs, strict=True))
        shares[skill] = round(right / draws, 3)
    return shares


def check_tasks(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, float]:
    """Share of test questions whose gold answer is what the model ends on, although it was taught no task.

    An answer is read generously: the last number, word, or letter A or B of whatever was written.
    """
    shares: dict[str, float] = {}
    style = get_format("arrow")
    draws = {
        steps.TASK: (steps.questions, r"\d+"),
        atlas.TASK: (atlas.questions, r"\w+"),
        atlas.PAIRS: (atlas.pairs, r"\b[AB]\b"),
    }
    for task, (draw, answer) in draws.items():
        questions = draw("test", test=TASK_CHECKED)
        written = write(model, tokenizer, [style.prompt(question) for question in questions])
        read = [[None, *re.findall(answer, text)][-1] for text in written]
        right = sum(r == question.answer for r, question in zip(read, questions, strict=True))
        shares[task] = round(right / len(questions), 3)
    return shares


def write(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: list[str], *, length: int = 100
) -> list[str]:
    """What the model writes after each prompt, the likeliest token at a time."""
    import torch

    inputs = tokenizer(prompts, return_tensors="pt", padding=True, return_token_type_ids=False).to(model.device)
    with torch.inference_mode():
        ids: Any = model.generate(**inputs, max_new_tokens=length, do_sample=False)  # type: ignore[operator]
    if not model.config.is_encoder_decoder:
        ids = ids[:, inputs["input_ids"].shape[1] :]
    return tokenizer.batch_decode(ids, skip_special_tokens=True)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=NAMES)
    parser.add_argument("--out", type=Path, default=CHECKPOINTS)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if given.only:
        pretrain(given.only, given.out, plan=PLANS[given.only])
        return
    beside = subprocess.Popen([sys.executable, "-m", "tutelage.pocket.pretrain", "--only", "mini", "--out", given.out])
    for name in ("nano", "causal-nano"):
        pretrain(name, given.out, plan=PLANS[name])
    if beside.wait():
        sys.exit(beside.returncode)


if __name__ == "__main__":
    main()

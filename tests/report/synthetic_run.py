"""A made-up run folder, as the run engine leaves one: for tests of the report only, and said so in its title."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tutelage.types import Prediction, Question, Rationale, Verdict, question_id, to_json

NAMES = ("Tova", "Idris", "Mireille", "Anselm", "Yuki", "Oskar", "Leila", "Bram")
THINGS = ("beads", "apples", "stamps", "pencils", "marbles", "shells")
SKILLS = {
    "fine-tuning": ("Fine-tuning", 0.36),
    "reasoning-distillation": ("Reasoning distillation", 0.60),
    "mentor-kd": ("Mentor-KD", 0.655),
    "kard": ("KARD", 0.62),
    "grounded-mentor": ("Grounded mentor", 0.68),
    "mcc-kd": ("MCC-KD", 0.61),
    "kard-oracle": ("KARD with oracle passages", 0.70),
    "mentor": ("The mentor itself", 0.78),
}
OTHERS = ("", 0.6)
"""Of an arm that stands in no table: it is titled by its name."""
HOSTILE = "</script><img src=x onerror=document.title='broken'><b>bold</b> & “quoted”\u2028next"
"""A text no page may take for markup; models do write such things."""


def write_run(
    folder: Path,
    *,
    arms: Sequence[str] = ("fine-tuning", "reasoning-distillation"),
    seeds: Sequence[int] = (1, 2),
    test: int = 60,
    votes: int = 1,
    choices: bool = False,
    hostile: bool = False,
    baseline: str | None = "fine-tuning",
    skills: Mapping[str, float] | None = None,
    slowness: float = 1.0,
    mentors: bool = False,
    terms: Mapping[str, float] | None = None,
) -> Path:
    """Write a run of made-up students; the same arguments give the same files, `slowness` changes times alone.

    `mentors` adds one a seed for every arm whose name begins with mentor-kd. `terms` names the arms whose loss has a
    rationale and a soft term, with how many times the gradient of the first is that of the second.
    """
    luck = random.Random(7)
    numbers = {"train": 200, "dev": 40, "test": test}
    questions: dict[str, Question] = {}
    for split, number in numbers.items():
        while sum(q.split == split for q in questions.values()) < number:
            question = _question(luck, split, choices)
            questions.setdefault(question.id, question)
    if hostile:
        questions.popitem()
        questions["q-hostile"] = Question("q-hostile", "pocket/steps", "test", HOSTILE, (HOSTILE, "12"), "A")
    _write(folder / "stages/questions-ab12/questions.jsonl", [to_json(q) for q in questions.values()])
    asked = [q for q in questions.values() if q.split == "test"]
    hardness = [luck.gauss(0, 1) for _ in asked]
    rows = [
        _arm(
            folder, arm, seed, asked, hardness, votes, hostile, skill_of(arm, skills), slowness, (terms or {}).get(arm)
        )
        for arm in arms
        for seed in seeds
    ]
    results = {
        "name": "pocket/steps",
        "title": "Made-up figures for a test: step-by-step sums",
        "task": {
            "name": "pocket/steps",
            "answer_type": "letter" if choices else "number",
            "counts": numbers,
            "notes": ["Questions are drawn from 24 templates; no template of the test split is seen in training."],
        },
        "sources": [TEACHER, *(mentor(arm, seed) for arm in arms if mentors and "mentor-kd" in arm for seed in seeds)],
        "soft_labels": [soft_labels(seed) for seed in seeds if mentors],
        "arms": rows,
        "questions": "stages/questions-ab12/questions.jsonl",
        "recipe": {"seeds": list(seeds), "arms": list(arms), "student": {"learning_rate": 0.002}},
        "recipe_text": f"# A made-up recipe\narms:  [{', '.join(arms)}]\nseeds: {list(seeds)}\n",
        "command": "tutelage run pocket/steps",
        "versions": {"tutelage": "0.1.0", "python": "3.11.7", "torch": "2.8.0", "transformers": "5.20.1"},
        "commit": "abc1234",
        "seeds": list(seeds),
        "seconds": 142.0 * slowness,
        "started": "2026-11-22T23:00:00+00:00",
        "finished": "2026-11-22T23:02:22+00:00",
        "machine": "2 CPU cores (x86_64), 1 thread(s) a student",
        "baseline": baseline,
        "warnings": [],
    }
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    return folder


TEACHER: dict[str, Any] = {
    "role": "teacher",
    "source": "pocket (rule-based, 7% mistakes)",
    "arms": ["Reasoning distillation"],
    "seeds": [],
    "yield": {"kept": 214, "wrong": 15, "duplicate": 9, "unread": 2, "asked": 240},
    "per_question": 1.07,
    "asked": 240,
    "questions": 200,
    "without_teacher": None,
    "gained": None,
    "notes": [],
}


def mentor(arm: str, seed: int) -> dict[str, Any]:
    """An entry of `sources`, a little different for every seed."""
    counts = {"kept": 690 + seed, "wrong": 290 - seed, "unread": 31, "duplicate": 64, "cut off": 5}
    return {
        "role": "mentor",
        "source": "pocket/mini",
        "arms": [SKILLS.get(arm, (arm,))[0]],
        "seeds": [seed],
        "yield": {**counts, "asked": sum(counts.values())},
        "per_question": round((690 + seed) / 420, 2),
        "asked": 540,
        "questions": 420,
        "without_teacher": 340,
        "gained": 230 + seed,
        "notes": [],
    }


def soft_labels(seed: int) -> dict[str, Any]:
    """An entry of `soft_labels`."""
    return {
        "mentor": "pocket/mini",
        "tokens": 40_000 + seed,
        "top_k": 16,
        "draws": None,
        "temperature": 1.0,
        "bytes_per_token": 100.0,
    }


def skill_of(arm: str, skills: Mapping[str, float] | None) -> float:
    """How able an arm is: as asked, as in the table, or like most."""
    return (skills or {}).get(arm, SKILLS.get(arm, OTHERS)[1])


def _question(luck: random.Random, split: Any, choices: bool) -> Question:
    name, thing = luck.choice(NAMES), luck.choice(THINGS)
    a, b, c = luck.randint(4, 40), luck.randint(2, 30), luck.randint(2, 5)
    text = (
        f"{name} has {a} {thing} and finds {b} more. A friend has {c} times as many. How many {thing} has the friend?"
    )
    right = (a + b) * c
    options = tuple(str(n) for n in (right, right + c, a + b, a * c)) if choices else ()
    options = tuple(luck.sample(options, len(options)))
    answer = "ABCD"[options.index(str(right))] if choices else str(right)
    return Question(
        question_id("pocket/steps", text), "pocket/steps", split, text, options, answer, {"where": "steps.jsonl:1"}
    )


def _arm(
    folder: Path,
    arm: str,
    seed: int,
    asked: Sequence[Question],
    hardness: Sequence[float],
    votes: int,
    hostile: bool,
    skill: float,
    slowness: float,
    loudness: float | None,
) -> dict[str, Any]:
    luck = random.Random(f"{arm}/{seed}")
    ability = (skill - 0.5) * 3.6 + luck.gauss(0, 0.05)
    found = [
        _prediction(luck, arm, seed, q, ability - h, votes, hostile and q.id == "q-hostile")
        for q, h in zip(asked, hardness, strict=True)
    ]
    _write(folder / f"stages/score-{arm}-{seed}/predictions.jsonl", [to_json(p) for p in found])
    history = _history(luck, skill, slowness, loudness)
    _write(folder / f"stages/student-{arm}-{seed}/history.jsonl", history)
    best = max(history, key=lambda row: row["dev_accuracy"])
    return {
        "arm": arm,
        "title": SKILLS.get(arm, OTHERS)[0] or arm,
        "reference": arm == "mentor",
        "seed": seed,
        "predictions": f"stages/score-{arm}-{seed}/predictions.jsonl",
        "history": f"stages/student-{arm}-{seed}/history.jsonl",
        "training": {
            "steps": 800,
            "tokens": 412_000,
            "seconds": 40.0 * slowness,
            "best_epoch": best["epoch"],
            "examples": 214,
        },
        "seconds": {"train": 41.5 * slowness, "score": 6.25 * slowness},
    }


def _prediction(
    luck: random.Random, arm: str, seed: int, question: Question, ease: float, votes: int, hostile: bool
) -> Prediction:
    rationales: list[Rationale] = []
    for sample in range(votes):
        right, mute = ease + luck.gauss(0, 0.7) > 0, luck.random() < 0.015
        wrong = luck.choice("BCD") if question.choices else str(luck.randint(10, 300))
        answer = None if mute else question.answer if right or wrong == question.answer else wrong
        verdict = Verdict.UNREAD if answer is None else Verdict.CORRECT if answer == question.answer else Verdict.WRONG
        text = "" if arm == "fine-tuning" else HOSTILE if hostile else _reasoning(luck, question, answer)
        rationales.append(
            Rationale(
                question.id,
                f"student:{arm}-{seed}",
                sample,
                text,
                answer,
                verdict,
                tokens=8 if not text else 44 + sample,
                finished=not mute,
            )
        )
    voted = max(rationales, key=lambda r: (r.answer is not None, sum(o.answer == r.answer for o in rationales)))
    return Prediction(question.id, voted.answer, voted.verdict or Verdict.UNREAD, tuple(rationales))


def _reasoning(luck: random.Random, question: Question, answer: str | None) -> str:
    start = luck.choice(("First add what was found.", "Start with what there was.", "We count step by step."))
    said = "so the friend has the same again and again and again" if answer is None else f"that makes {answer}"
    return f"{start} {question.text.split(' and finds')[0]}, then some more. The friend has a multiple of that, {said}."


def _history(luck: random.Random, skill: float, slowness: float, loudness: float | None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for epoch in range(1, 11):
        left = 0.62**epoch
        rows.append(
            {
                "epoch": epoch,
                "step": 80 * epoch,
                "loss": 0.35 + 2.1 * left + luck.gauss(0, 0.01),
                "dev_loss": 0.48 + 1.9 * left + 0.012 * epoch + luck.gauss(0, 0.01),
                "dev_accuracy": round(
                    max(0.0, skill * (1 - left) - 0.004 * max(0, epoch - 8) + luck.gauss(0, 0.01)), 4
                ),
                "learning_rate": 2e-3 * (1 - epoch / 10),
                "seconds": 4.0 * slowness,
                **(_terms(left, loudness) if loudness else {}),
            }
        )
    return rows


def _terms(left: float, loudness: float) -> dict[str, Any]:
    norm = 1.5 * left**0.5
    return {
        "terms": {"rationale": 0.25 + 1.5 * left, "soft": (0.08 + 0.5 * left) / loudness**0.5},
        "gradient_norms": {"rationale": norm, "soft": norm / loudness},
    }


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

"""A user's study of a few sums whose teacher is a fake server, for tests of whole commands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tutelage.methods import Study
from tutelage.methods.sources import load_task
from tutelage.recipe import Recipe, parse
from tutelage.runs import Workspace

PRICES = {"input": 1.0, "output": 2.0}


def solve(prompt: str, number: int) -> str:
    """A solution in the form that our prompts ask for; every third story is answered wrong."""
    question = prompt.rpartition("Question: ")[2]
    a, b = map(int, re.findall(r"\d+", question)[:2])
    total = a + b + (1 if a % 3 == 0 else 0)
    return f"At first there are {a}, way {number}. {a} + {b} = {total}.\nAnswer: {total}"


def write_questions(folder: Path, count: int = 12) -> Path:
    rows = [
        {"question": f"Ida has {n + 10} beads and finds {n + 2} more. How many?", "answer": str(2 * n + 12)}
        for n in range(count)
    ]
    (folder / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "q.jsonl"


def raw(folder: Path, url: str, **teacher: Any) -> dict[str, Any]:
    """A recipe; `teacher` changes its teacher."""
    path = folder / "q.jsonl" if (folder / "q.jsonl").exists() else write_questions(folder)
    asked = {"backend": "openai", "model": "m", "base_url": url, "samples": 2, "backoff": 0.01, "concurrency": 4}
    return {
        "title": "Sums",
        "task": {"name": "sums", "train": str(path), "answers": "number", "dev_fraction": 0.25, "test_fraction": 0.25},
        "teacher": {**asked, **teacher},
        "student": {"model": "pocket/nano", "epochs": 1},
        "arms": ["reasoning-distillation"],
        "compute": {"jobs": 1, "device": "cpu"},
    }


def recipe(folder: Path, url: str, **teacher: Any) -> Recipe:
    return parse(raw(folder, url, **teacher), where="test")


def study(folder: Path, url: str, **teacher: Any) -> Study:
    """The study, its run folder beside its questions."""
    wanted = recipe(folder, url, **teacher)
    return Study(wanted, load_task(wanted.task), Workspace(folder / "run"))

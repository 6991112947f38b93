"""A few look-ups with their rationales and their own corpus, on disk as a user has them: nothing built in."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tutelage.formats import get_format
from tutelage.generation.local import LocalGenerator
from tutelage.methods import Study
from tutelage.methods.check import plans
from tutelage.methods.sources import load_task
from tutelage.pocket import atlas
from tutelage.pocket.teacher import write
from tutelage.recipe import Recipe, parse
from tutelage.runs import Stage, Workspace, read_jsonl
from tutelage.types import Passage, Question, question_from_json

FORMAT = get_format("arrow")
ARMS = ["reasoning-distillation", "kard", "kard-bm25", "kard-oracle"]


def jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_world(folder: Path, *, train: int = 24, test: int = 8, told: bool = False) -> Path:
    """`rows.jsonl` with two rationales a question, `test.jsonl` (with one where `told`) and `corpus.jsonl`."""
    asked = {"train": atlas.questions("train", train=train), "test": atlas.questions("test", test=test)}
    jsonl(folder / "rows.jsonl", [row(q, [write(q, sample, 0).text for sample in (0, 1)]) for q in asked["train"]])
    whole = [row(q, [write(q, 0, 0).text] if told else None) for q in asked["test"]]
    jsonl(folder / "test.jsonl", whole)
    titles = {q.meta["place"] for split in asked.values() for q in split}
    mine = [p for p in atlas.corpus() if p.title in titles or p.title.split()[-1] in {t.split()[-1] for t in titles}]
    jsonl(folder / "corpus.jsonl", [{"id": p.id, "title": p.title, "text": p.text} for p in mine])
    return folder


def row(question: Question, why: list[str] | None) -> dict[str, Any]:
    """One question as a user's file has it."""
    told = {} if why is None else {"why": why}
    return {"question": question.text, "answer": question.answer, **told}


def raw(folder: Path, arms: Sequence[Any] = ARMS, **changes: Any) -> dict[str, Any]:
    """A study of the world in `folder`; `knowledge`, `student` and the like are added to what stands here."""
    whole: dict[str, Any] = {
        "task": {
            "name": "places",
            "train": str(folder / "rows.jsonl"),
            "test": str(folder / "test.jsonl"),
            "fields": {"rationale": "why"},
            "answers": "words",
            "dev_fraction": 0.2,
        },
        "teacher": {"backend": "recorded"},
        "knowledge": {
            "corpus": str(folder / "corpus.jsonl"),
            "candidates": 8,
            "reranker": {
                "base": "pocket/nano",
                "epochs": 1,
                "searched": 4,
                "learning_rate": 2e-3,
                "lora": None,
                "dimension": None,
            },
        },
        "student": {
            "model": "pocket/nano",
            "epochs": 1,
            "batch_size": 8,
            "learning_rate": 4e-3,
            "max_prompt_tokens": 96,
            "max_target_tokens": 48,
        },
        "arms": list(arms),
        "compute": {"jobs": 1, "device": "cpu"},
    }
    for key, value in changes.items():
        inner = whole.get(key)
        whole[key] = {**inner, **value} if isinstance(inner, dict) and isinstance(value, dict) else value
    return whole


def recipe(folder: Path, arms: Sequence[Any] = ARMS, **changes: Any) -> Recipe:
    return parse(raw(folder, arms, **changes), where="test")


def study_of(wanted: Recipe, folder: Path, *, planning: bool = False) -> Study:
    """The parts of a recipe, to be used one at a time."""
    return Study(wanted, load_task(wanted.task), Workspace(folder, planning=planning))


def stages(folder: Path, name: str) -> list[Path]:
    return sorted((folder / "stages").glob(f"{name}-*"))


def planned(wanted: Recipe, folder: Path, arm: str, seed: int = 1) -> dict[str, Stage]:
    """The stages of one job by their folders' names."""
    return plans(wanted, folder)[f"{arm}, seed {seed}"]


def kinds(wanted: Recipe, folder: Path, arm: str) -> set[str]:
    """What is still to be done for an arm, by the stages' names."""
    return {stage.name for stage in planned(wanted, folder, arm).values() if not stage.cached}


def corpus_of(folder: Path) -> dict[str, Passage]:
    return {r["id"]: Passage(r["id"], r["title"], r["text"]) for r in read_jsonl(folder / "corpus.jsonl")}


def results_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "results.json").read_text())


def predictions_of(out: Path, arm: str) -> list[dict[str, Any]]:
    """The rows of an arm's first seed."""
    (path, *_) = [a["predictions"] for a in results_of(out)["arms"] if a["arm"] == arm]
    return read_jsonl(out / path)


def questions_of(out: Path) -> dict[str, Question]:
    """The questions of a run, by id."""
    (folder,) = stages(out, "questions")
    return {row["id"]: question_from_json(row) for row in read_jsonl(folder / "questions.jsonl")}


class Asked(NamedTuple):
    """One call of a local model."""

    prompts: Sequence[str]
    samples: int


@contextmanager
def recorded_prompts() -> Generator[list[Asked]]:
    """Everything that local models are asked within this context."""
    calls: list[Asked] = []
    write = LocalGenerator.write

    def recording(self: LocalGenerator, prompts: Sequence[str], **settings: Any) -> Any:
        calls.append(Asked(prompts, settings.get("samples", 1)))
        return write(self, prompts, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalGenerator, "write", recording)
        yield calls

"""Files whose own rationales contradict their gold answers: told of before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tutelage.cli import app
from tutelage.methods import check
from tutelage.recipe import parse


def recipe(folder: Path, wrong: int, *, trust_file: bool = False, **teacher: Any) -> dict[str, Any]:
    """Thirty questions with a rationale each, of which so many conclude another answer than the row's own."""
    rows = [
        {
            "q": f"Ann has {n} pens and buys 2. How many?",
            "gold": n + 2,
            "why": f"So the answer is {n + 2 + (n < wrong)}.",
        }
        for n in range(30)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    fields = {"question": "q", "answer": "gold", "rationale": "why"}
    return {
        "title": "Pens",
        "task": {"name": "pens", "train": str(folder / "rows.jsonl"), "answers": "number", "fields": fields},
        "teacher": {"backend": "recorded", "trust_file": trust_file, **teacher},
        "student": {"model": "pocket/nano", "epochs": 1},
        "arms": ["reasoning-distillation"],
    }


def test_most_rationales_wrong_is_told_with_counts_and_an_example(tmp_path: Path):
    """The wrong column, or floats read wrong: the run went on with the few that were right by chance."""
    [told] = check.warnings(parse(recipe(tmp_path, 30), where="test"))
    assert "rows.jsonl: 24 of 24 rationales conclude another answer than the gold one" in told
    assert "at rows.jsonl:" in told
    assert "`task.answers` (number)" in told


@pytest.mark.parametrize(("wrong", "trusted"), [(0, False), (10, False), (30, True)])
def test_few_wrong_ones_are_no_reason_to_doubt(tmp_path: Path, wrong: int, trusted: bool):
    """Nor are those whose file is to be trusted."""
    assert check.warnings(parse(recipe(tmp_path, wrong, trust_file=trusted), where="test")) == []


def test_a_recipe_without_recorded_teacher_is_not_doubted(tmp_path: Path):
    raw = recipe(tmp_path, 30)
    assert check.warnings(parse({**raw, "arms": ["fine-tuning"]}, where="test")) == []
    assert check.warnings(parse({**raw, "teacher": None, "arms": ["fine-tuning"]}, where="test")) == []


def test_a_weak_teachers_wrong_answers_are_its_own(tmp_path: Path):
    """A file that says what its teacher concluded does not vouch for it."""
    raw = recipe(tmp_path, 0)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    written = [{"question": row["q"], "text": "So the answer is 99.", "answer": "99"} for row in rows]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in written))
    raw["teacher"]["path"] = str(tmp_path / "t.jsonl")
    assert check.warnings(parse(raw, where="test")) == []


def test_check_and_annotate_say_it_once(tmp_path: Path):
    """Both commands look before anything is trained."""
    import yaml

    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe(tmp_path, 28)))
    found = CliRunner().invoke(app, ["check", str(tmp_path / "r.yaml"), "--out", str(tmp_path / "run")])
    assert found.output.count("rationales conclude another answer") == 1
    found = CliRunner().invoke(app, ["annotate", str(tmp_path / "r.yaml"), "--run", str(tmp_path / "run"), "--quiet"])
    assert found.output.count("rationales conclude another answer") == 1

"""From a served teacher to a taught student and its report, as a user goes: annotate, run, report."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from served import SUM, Served, sums
from typer.testing import CliRunner

from tutelage.cli import app

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def recipe(folder: Path, served: Served) -> Path:
    """A user's folder: two files of questions, a prompt, prices, and the recipe that names them."""
    for name, rows in zip(("train", "test"), sums(400, 60), strict=True):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "sum.j2").write_text(SUM)
    (folder / "prices.yaml").write_text(yaml.safe_dump({"models": {served.model: {"input": 1.0, "output": 2.0}}}))
    whole: dict[str, Any] = {
        "title": "Beads",
        "task": {
            "name": "beads",
            "train": str(folder / "train.jsonl"),
            "test": str(folder / "test.jsonl"),
            "answers": "number",
            "dev_fraction": 0.1,
        },
        "teacher": {
            "backend": "openai",
            "model": served.model,
            "base_url": served.url,
            "samples": 3,
            "max_tokens": 24,
            "temperature": 0.5,
            "prompt": str(folder / "sum.j2"),
            "reads": "served:EQUALS",
            "prices": str(folder / "prices.yaml"),
            "budget": 1.0,
        },
        "student": {
            "model": "pocket/causal-nano",
            "epochs": 20,
            "batch_size": 16,
            "learning_rate": 4e-3,
            "max_prompt_tokens": 64,
            "max_target_tokens": 32,
        },
        "arms": ["fine-tuning", "reasoning-distillation"],
        "compute": {"jobs": 1, "device": "cpu"},
    }
    (folder / "beads.yaml").write_text(yaml.safe_dump(whole))
    return folder / "beads.yaml"


def told(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def run(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of the whole way; `seen.json` beside it holds what was printed."""
    folder = tmp_path_factory.mktemp("user")
    path, out = recipe(folder, served), folder / "out"
    seen = {
        "preview": told("annotate", str(path), "--run", str(out), "--preview", "2"),
        "annotate": told("annotate", str(path), "--run", str(out), "--quiet"),
        "again": told("annotate", str(path), "--run", str(out), "--quiet"),
        "run": told("run", str(path), "--out", str(out)),
    }
    (folder / "seen.json").write_text(json.dumps(seen))
    return out


def seen(run: Path) -> dict[str, str]:
    return json.loads((run.parent / "seen.json").read_text())


def asked_rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.parent / "train.jsonl").read_text().splitlines()]


def results(run: Path) -> dict[str, Any]:
    return json.loads((run / "results.json").read_text())


def teacher_of(run: Path) -> dict[str, Any]:
    return next(source for source in results(run)["sources"] if source["role"] == "teacher")


def test_a_preview_shows_what_is_sent(run: Path):
    """Before a cent is spent."""
    assert "--- user\nwork out " in seen(run)["preview"]


def test_nothing_is_asked_twice(run: Path):
    """`run` finds what `annotate` paid for: one call a sample of every sum, and stories of one sum share them."""
    prompts = 3 * len({tuple(re.findall(r"\d+", row["question"])) for row in asked_rows(run)})
    assert f"1,200 samples, 0 there, {prompts} to ask for ({1200 - prompts} more" in seen(run)["annotate"]
    assert "1,200 samples, 1,200 there, 0 to ask for" in seen(run)["again"]
    assert teacher_of(run)["cost"]["requests"] == prompts


def test_most_rationales_are_kept_and_every_sample_is_accounted_for(run: Path):
    """Yield and outcomes add up to what was asked."""
    teacher = teacher_of(run)
    fates = {name: count for name, count in teacher["yield"].items() if name != "asked"}
    assert sum(fates.values()) == sum(teacher["cost"]["samples"].values()) == 1200
    assert fates["kept"] > 200


def test_the_student_learns_sums_it_never_saw(run: Path):
    """The whole way is for this: who guesses among the totals is right in 5%, three of 60. 62% was measured."""
    report = json.loads((run / "report.json").read_text())
    [student] = [arm for arm in report["arms"] if arm["arm"] == "reasoning-distillation"]
    assert student["accuracy"] > 0.2


def test_the_report_says_what_it_cost(run: Path):
    """For each kept rationale, and in the words of the bill."""
    page, text = (run / "report.html").read_text(), (run / "report.md").read_text()
    cost = teacher_of(run)["cost"]
    for report in (page, text):
        assert f"{cost['requests']:,} calls: {cost['requests']:,} answered" in report
        assert f"Spent {cost['spent']:.4f} USD" in report
        assert "for a thousand of the" in report

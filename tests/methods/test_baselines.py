"""The published methods that ours are compared with, as whole studies through the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tutelage.runs import read_jsonl

RECIPE = """# Two baselines, and what they are compared with, on little of the bundled task.
task: {name: pocket/steps, limit: 24}
teacher: {backend: pocket, samples: 3}
student: {model: pocket/nano, epochs: 2, learning_rate: 3.0e-3, max_prompt_tokens: 128, max_target_tokens: 112}
arms: [reasoning-distillation, mcc-kd, step-by-step]
seeds: [1]
score: {dev_limit: 4}
compute: {jobs: 1, device: cpu}
"""
QUESTION = "Mira has 12 beads. She finds 5 more. How many beads has Mira?"


def tutelage(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tutelage", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A recipe with both arms and plain distillation beside them, and the folder of its finished run."""
    folder = tmp_path_factory.mktemp("baselines")
    recipe = folder / "own.yaml"
    recipe.write_text(RECIPE)
    done = tutelage("run", recipe, "--out", folder / "run")
    assert done.returncode == 0, done.stderr
    return recipe, folder / "run"


def arms_of(out: Path) -> dict[str, dict[str, Any]]:
    return {arm["arm"]: arm for arm in json.loads((out / "results.json").read_text())["arms"]}


def test_results_tell_both_by_the_name_of_their_paper(finished: tuple[Path, Path]):
    arms = arms_of(finished[1])
    assert (arms["mcc-kd"]["title"], arms["step-by-step"]["title"]) == ("MCC-KD", "Distilling step-by-step")
    for arm in arms.values():
        assert len(read_jsonl(finished[1] / arm["predictions"])) == 400


def test_mcc_kd_makes_as_many_updates_as_plain_distillation(finished: tuple[Path, Path]):
    """The published comparison gave it a third of them."""
    arms = arms_of(finished[1])
    assert arms["mcc-kd"]["training"]["steps"] == arms["reasoning-distillation"]["training"]["steps"]
    terms = read_jsonl(finished[1] / arms["mcc-kd"]["history"])[0]["terms"]
    assert terms["consistency"] > 0


def test_pairs_are_on_disk_by_the_ids_of_the_examples(finished: tuple[Path, Path]):
    """Whoever doubts the choice must be able to read it."""
    (path,) = finished[1].glob("stages/pairs-*/pairs.jsonl")
    learnt = {row["id"] for file in finished[1].glob("stages/examples-*/train.jsonl") for row in read_jsonl(file)}
    for pair in read_jsonl(path):
        assert {pair["first"], pair["second"]} <= learnt
        assert pair["first"].split("#")[0] == pair["second"].split("#")[0]


def test_answers_and_rationales_are_two_tasks(finished: tuple[Path, Path]):
    """A rationale that ends with the answer would be plain distillation under another name."""
    files = [read_jsonl(file) for file in finished[1].glob("stages/examples-*/train.jsonl")]
    (rows,) = [rows for rows in files if rows[0]["prompt"].startswith("predict: ")]
    by_task = {task: [row for row in rows if row["prompt"].startswith(task)] for task in ("predict: ", "explain: ")}
    assert len(by_task["predict: "]) + len(by_task["explain: "]) == len(rows)
    assert all(row["target"].startswith("--> ") for row in by_task["predict: "])
    assert not any("-->" in row["target"] for row in by_task["explain: "])
    assert {row["id"].split("#")[0] for row in by_task["explain: "]} <= {
        row["id"].split("#")[0] for row in by_task["predict: "]
    }
    assert set(read_jsonl(finished[1] / arms_of(finished[1])["step-by-step"]["history"])[0]["terms"]) == {
        "predict",
        "explain",
    }


def test_a_second_run_makes_nothing_new(finished: tuple[Path, Path]):
    recipe, out = finished
    before = {path: path.stat().st_mtime_ns for path in out.glob("stages/**/*") if path.is_file()}
    again = tutelage("run", recipe, "--out", out)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in out.glob("stages/**/*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("change", "arm"),
    [
        ("mcc.weight=0.2", "mcc-kd"),
        ("mcc.temperature=1.3", "mcc-kd"),
        ("mcc.ngram=2", "mcc-kd"),
        ("step_by_step.answer_share=0.4", "step-by-step"),
    ],
)
def test_what_decides_the_weights_trains_that_student_again(finished: tuple[Path, Path], change: str, arm: str):
    """A student found under settings that it was not trained with is a wrong number in a table."""
    shown = tutelage("check", finished[0], change, "--out", finished[1])
    to_do = [line.split("│")[1:3] for line in shown.stdout.splitlines() if "to do" in line]
    assert {name.strip() for name, _ in to_do} == {f"{arm}, seed 1"}
    assert {stage.split("-")[0].strip() for _, stage in to_do} - {"pairs"} == {"student", "score"}


def test_a_step_by_step_student_is_asked_with_its_prefix(finished: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch):
    """Without the prefix it would be asked in words that it never learnt, and nobody would notice."""
    from tutelage.errors import ModelError
    from tutelage.generation.local import LocalGenerator
    from tutelage.methods.ask import ask

    prompts: list[str] = []
    write = LocalGenerator.write

    def note(self: LocalGenerator, asked: list[str], *words: Any, **settings: Any) -> Any:
        prompts.extend(asked)
        return write(self, asked, *words, **settings)

    monkeypatch.setattr(LocalGenerator, "write", note)
    students = finished[1] / "students"
    ask(students / "step-by-step-seed1", QUESTION)
    ask(students / "step-by-step-seed1", QUESTION, explain=True)
    ask(students / "mcc-kd-seed1", QUESTION)
    assert prompts == [f"predict: {QUESTION}", f"explain: {QUESTION}", QUESTION]
    with pytest.raises(ModelError, match="learnt no explaining apart"):
        ask(students / "mcc-kd-seed1", QUESTION, explain=True)


def test_predictions_of_a_step_by_step_student_come_from_its_prefix(finished: tuple[Path, Path]):
    """The scored texts are those that the prefix asks for; the other prefix, or none, gives others.

    One of 16 may differ, where a batch of another shape rounds otherwise.
    """
    from tutelage.generation.local import LocalGenerator
    from tutelage.models import load

    out = finished[1]
    questions = {row["id"]: row["text"] for file in out.glob("stages/questions-*/*.jsonl") for row in read_jsonl(file)}
    predictions = read_jsonl(out / arms_of(out)["step-by-step"]["predictions"])[:16]
    generator = LocalGenerator(load(str(out / "students" / "step-by-step-seed1")), max_new_tokens=112)

    def answers(prefix: str) -> list[str]:
        written = generator.write([prefix + questions[row["question_id"]] for row in predictions])
        return [text.text.removeprefix("--> ") for (text,) in written]

    told = [row["answer"] for row in predictions]

    def same(prefix: str) -> int:
        return sum(mine == its for mine, its in zip(answers(prefix), told, strict=True))

    assert same("predict: ") >= 15
    assert max(same(""), same("explain: ")) < 15


def test_a_teacher_with_one_rationale_a_question_has_no_pairs(finished: tuple[Path, Path], tmp_path: Path):
    """Otherwise MCC-KD would silently be plain distillation."""
    failed = tutelage("run", finished[0], "teacher.samples=1", "arms=[mcc-kd]", "--out", tmp_path / "run")
    assert failed.returncode == 2
    assert "Raise teacher.samples" in failed.stderr
    assert "Traceback" not in failed.stderr

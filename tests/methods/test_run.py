"""Whole studies through the command line, as a user runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tutelage.runs import read_jsonl

QUESTION = "Ann has {a} pens and buys {b}. How many has she?"


def tutelage(*words: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tutelage", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def write_csv(path: Path, count: int = 60) -> Path:
    """Rows of question, gold answer and rationale."""
    rows = ["question,gold,why"]
    for n in range(count):
        a, b = n % 10, n // 10 + 1
        rows.append(f'"{QUESTION.format(a=a, b=b)}",{a + b},"Ann starts with {a}. {a} + {b} = {a + b}."')
    path.write_text("\n".join(rows) + "\n")
    return path


def write_recipe(path: Path, rows: Path, model: Path, more: str = "") -> Path:
    path.write_text(f"""# A user's own study.
task: {{name: pens, train: {rows}, fields: {{question: question, answer: gold, rationale: why}}, answers: number}}
teacher: {{backend: recorded}}
student: {{model: {model}, epochs: 2, learning_rate: 3.0e-3, max_prompt_tokens: 96, max_target_tokens: 64}}
arms: [fine-tuning, reasoning-distillation]
seeds: [1, 2]
compute: {{jobs: 1, device: cpu}}
{more}""")
    return path


def report_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "report.json").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_t5_folder: Path) -> tuple[Path, Path]:
    """A recipe on a user's CSV, and the folder of its finished run."""
    folder = tmp_path_factory.mktemp("own")
    recipe = write_recipe(folder / "own.yaml", write_csv(folder / "rows.csv"), tiny_t5_folder)
    done = tutelage("run", recipe, "--out", folder / "run")
    assert done.returncode == 0, done.stderr
    return recipe, folder / "run"


def test_a_users_csv_becomes_a_report_with_both_arms(finished: tuple[Path, Path]):
    """This is the whole product; every count in the report must be the data's own."""
    report = report_of(finished[1])
    assert [arm["arm"] for arm in report["arms"]] == ["fine-tuning", "reasoning-distillation"]
    for arm in report["arms"]:
        assert arm["n"] == 12  # a fifth of 60 rows
        assert arm["seeds"] == [1, 2]
        assert 0 <= arm["low"] <= arm["accuracy"] <= arm["high"] <= 1
    (comparison,) = report["comparisons"]
    assert {comparison["a"], comparison["b"]} == {"fine-tuning", "reasoning-distillation"}
    assert report["name"] == "own"  # the recipe's name, not the path it lies at
    assert (finished[1] / "report.html").stat().st_size > 10_000
    assert "reasoning-distillation" in (finished[1] / "report.md").read_text().lower().replace(" ", "-")


def test_what_a_student_reads_and_writes_is_on_disk_as_text(finished: tuple[Path, Path]):
    """Whoever doubts a result must be able to read the training data without running code."""
    rows = [row for path in finished[1].glob("stages/examples-*/train.jsonl") for row in read_jsonl(path)]
    targets = {row["target"] for row in rows}
    assert any(target.startswith("--> ") for target in targets)
    assert any(target.startswith("Ann starts with") and " --> " in target for target in targets)


def test_a_second_run_trains_nothing(finished: tuple[Path, Path]):
    """A user who only wants the table again must not pay for it again."""
    recipe, out = finished
    before = {path: path.stat().st_mtime_ns for path in out.glob("stages/**/*") if path.is_file()}
    again = tutelage("run", recipe, "--out", out)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in out.glob("stages/**/*") if path.is_file()} == before


def test_a_changed_setting_redoes_only_what_depends_on_it(finished: tuple[Path, Path]):
    """Another number of votes needs no new student; another seed does."""
    recipe, out = finished
    votes = tutelage("check", recipe, "score.votes=3", "--out", out, COLUMNS="200")
    seeds = tutelage("check", recipe, "seeds=[1, 2, 3]", "--out", out, COLUMNS="200")

    def to_do(text: str) -> list[str]:
        return sorted(line.split("│")[2].split("-")[0].strip() for line in text.splitlines() if "to do" in line)

    assert votes.stdout.splitlines()[0] == "format    arrow", "the words that decide what is trained are told first"
    assert to_do(votes.stdout) == ["score"] * 4
    assert to_do(seeds.stdout) == ["score", "score", "student", "student"]


def test_students_are_ordinary_hugging_face_folders_under_names_people_type(finished: tuple[Path, Path]):
    """The student is what the user came for; it must not be hidden behind a fingerprint or a format of ours."""
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    student = finished[1] / "students" / "reasoning-distillation-seed2"
    AutoModelForSeq2SeqLM.from_pretrained(student)
    AutoTokenizer.from_pretrained(student)
    asked = tutelage("ask", student, QUESTION.format(a=3, b=4))
    assert asked.returncode == 0, asked.stderr
    assert "answer " in asked.stdout


def test_a_causal_student_runs_the_same_recipe_by_one_line(
    finished: tuple[Path, Path], tiny_gpt_folder: Path, tmp_path: Path
):
    """KARD promised GPT students and never had them."""
    done = tutelage("run", finished[0], f"student.model={tiny_gpt_folder}", "seeds=[1]", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert [arm["n"] for arm in report_of(tmp_path / "run")["arms"]] == [12, 12]


def test_broken_rows_are_told_by_line_all_at_once_and_nothing_runs(tmp_path: Path, tiny_t5_folder: Path):
    """Ten rows, three broken: a user mends three lines, not one line three times."""
    rows = write_csv(tmp_path / "rows.csv", count=10)
    lines = rows.read_text().splitlines()
    lines[2] = lines[2].replace(",2,", ",many,")
    lines[5] = ',5,"Ann starts with 4."'
    lines[8] = '"How many pens?"'
    rows.write_text("\n".join(lines) + "\n")
    recipe = write_recipe(tmp_path / "own.yaml", rows, tiny_t5_folder)
    failed = tutelage("run", recipe, "--out", tmp_path / "run")
    assert failed.returncode == 2
    for number in (3, 6, 9):
        assert f"rows.csv:{number}: " in failed.stderr
    assert failed.stderr.count("rows.csv:") == 4  # the three rows, and the line that opens the list
    assert "Traceback" not in failed.stderr
    assert not (tmp_path / "run" / "stages").exists()


def test_ten_good_rows_run(tmp_path: Path, tiny_t5_folder: Path):
    """The first try of a newcomer is a handful of rows; fractions of it must not round a split away."""
    recipe = write_recipe(tmp_path / "own.yaml", write_csv(tmp_path / "rows.csv", count=10), tiny_t5_folder)
    done = tutelage("run", recipe, "seeds=[1]", "student.epochs=1", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert [arm["n"] for arm in report_of(tmp_path / "run")["arms"]] == [2, 2]


def test_check_tells_every_problem_of_a_recipe_and_loads_no_model(tmp_path: Path):
    """Three mistakes in three sections cost one look, and none of it waits for torch."""
    recipe = tmp_path / "r.yaml"
    recipe.write_text("""# Three mistakes.
task: {name: pocket/steps}
format: arow
student: {model: ./gone}
arms: [reasoning-distilation]
""")
    failed = tutelage("check", recipe)
    assert failed.returncode == 2
    for part in ("did you mean 'arrow'", "'./gone': no such folder", "did you mean 'reasoning-distillation'"):
        assert part in failed.stderr
    assert "3 problem(s)" in failed.stderr


def test_an_arm_without_a_teacher_is_found_before_anything_runs(tmp_path: Path):
    """Otherwise fine-tuning trains for an hour before the second arm fails."""
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "# No teacher.\ntask: {name: pocket/steps}\nstudent: {model: gpt2}\narms: [reasoning-distillation]\n"
    )
    failed = tutelage("run", recipe, "--out", tmp_path / "run")
    assert failed.returncode == 2
    assert "teacher: missing" in failed.stderr


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path, finished: tuple[Path, Path]):
    """A mistyped --out must not spread a run over somebody's documents."""
    (tmp_path / "thesis.txt").write_text("precious")
    failed = tutelage("run", finished[0], "--out", tmp_path)
    assert failed.returncode == 2
    assert "holds no run of tutelage" in failed.stderr


def test_copies_that_a_launcher_starts_are_told_what_to_do(
    finished: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
):
    """Eight copies wait for one lock file, and the message spoke of another run."""
    monkeypatch.setenv("WORLD_SIZE", "8")
    failed = tutelage("run", finished[0], "--out", finished[1])
    assert failed.returncode == 2
    assert "started 8 copies of this study" in failed.stderr


def test_help_of_every_command_answers_without_torch():
    """`--help` that takes five seconds is read by nobody."""
    code = (
        "import sys; from tutelage import cli\nsys.argv = ['tutelage', '--help']\n"
        "try: cli.main()\nexcept SystemExit: pass\nprint('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert shown.stdout.rstrip().endswith("False False")


def test_grade_prints_accuracy_interval_and_unread(tmp_path: Path):
    """Machines read the JSON, people the line; both must say what could not be read."""
    rows = [("a", "12 + 5 = 17. --> 17", "17"), ("b", "", "3"), ("c", "so --> $4.0", "4"), ("d", "--> 5", "6")]
    file = tmp_path / "g.jsonl"
    file.write_text("".join(json.dumps(dict(zip(("id", "text", "answer"), row, strict=True))) + "\n" for row in rows))
    assert tutelage("grade", "--task", "svamp", file).stdout == "accuracy 50.0% [15.0%, 85.0%], n 4, unread 1\n"
    found = json.loads(tutelage("grade", "--task", "svamp", file, "--json").stdout)
    assert (found["n"], found["correct"], found["unread"]) == (4, 2, 1)
    assert found["verdicts"] == {"a": "correct", "b": "unread", "c": "correct", "d": "wrong"}


def test_a_teacher_file_of_another_task_is_told_with_what_became_of_its_rows(
    tmp_path: Path, finished: tuple[Path, Path]
):
    """Otherwise the user looks for the fault in the training settings."""
    (tmp_path / "other.jsonl").write_text(json.dumps({"question": "Who?", "rationale": "It was me."}) + "\n")
    failed = tutelage("run", finished[0], f"teacher.path={tmp_path / 'other.jsonl'}", "--out", tmp_path / "run")
    assert failed.returncode == 2
    assert "no rationale was kept" in failed.stderr
    assert "other.jsonl: 1 texts of no question asked for left out" in failed.stderr


def test_cut_prompts_stand_in_the_report(tmp_path: Path, finished: tuple[Path, Path]):
    """A student that read half of every question explains a bad score; silence would blame the method."""
    words = ("seeds=[1]", "student.epochs=1", "arms=[fine-tuning]", "student.max_prompt_tokens=5")
    done = tutelage("run", finished[0], *words, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "43 training prompts were cut" in (tmp_path / "run" / "report.md").read_text()


def test_another_rationale_column_is_another_teacher(tmp_path: Path, finished: tuple[Path, Path]):
    """A finished run that keeps students taught from the old column would answer another question than asked."""
    rows = tmp_path / "rows.csv"
    lines = write_csv(rows).read_text().splitlines()
    rows.write_text("\n".join([lines[0] + ",because", *(line + ",So." for line in lines[1:])]) + "\n")
    recipe = write_recipe(tmp_path / "own.yaml", rows, Path("gpt2"))
    plans = [
        tutelage("check", recipe, f"task.fields.rationale={name}", COLUMNS="200").stdout for name in ("why", "because")
    ]
    first, second = ({word for word in plan.split() if word.startswith("rationales-")} for plan in plans)
    assert first
    assert first != second


@pytest.mark.parametrize(
    "words", ["task.test=t.csv", "task.answers=letter", "seeds=[-1]", "student.learning_rate=inf", "title=[a"]
)
def test_settings_that_would_be_ignored_or_crash_are_refused(words: str):
    """A key that does nothing is believed; a traceback is not understood."""
    failed = tutelage("check", "pocket/steps", words)
    assert failed.returncode == 2
    assert "Traceback" not in failed.stderr


def test_grade_refuses_an_id_that_stands_twice(tmp_path: Path):
    """Five samples a question are not five questions; the interval would be far too narrow."""
    row = json.dumps({"id": "1", "text": "--> 5", "answer": "5"}) + "\n"
    (tmp_path / "g.jsonl").write_text(row * 2)
    failed = tutelage("grade", "--task", "number", tmp_path / "g.jsonl")
    assert failed.returncode == 2
    assert "g.jsonl:2: id '1' stands twice" in failed.stderr

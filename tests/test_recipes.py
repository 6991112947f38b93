"""The built-in recipes: they run, they stay within what the papers say, and their sweeps share what they can."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import socket
from collections import Counter
from math import ceil
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml
from typer.testing import CliRunner

from tutelage import recipe as recipes
from tutelage.cli import app
from tutelage.methods import METHODS, study
from tutelage.methods.check import plans, problems
from tutelage.recipe import PUBLISHED, LearnerSection, Recipe, builtin
from tutelage.types import Question

DATA = os.environ.get("TUTELAGE_DATA")
needs_data = [pytest.mark.data, pytest.mark.skipif(not DATA, reason="TUTELAGE_DATA names no folder of published data")]

NAMES = list(builtin())
OFFLINE = [name for name in NAMES if name.startswith("pocket/")]
PUBLISHED_DATA = [name for name in NAMES if name not in OFFLINE]
TABLES = [name for name in NAMES if name.startswith("mentor-kd/paper/")]
SWEEPS = [name for name in NAMES if name.startswith("mentor-kd/sweeps/")]
OF_THE_PAPER = [*TABLES, *SWEEPS, "mentor-kd/published-or-corrected"]
KARD_TABLES = [name for name in NAMES if name.startswith("kard/paper/")]
KARD_SWEEPS = [name for name in NAMES if name.startswith("kard/sweeps/")]
OF_KARD = [*KARD_TABLES, *KARD_SWEEPS]
KARD_STUDENTS = {
    "medqa": {"flan-t5-base", "flan-t5-large", "flan-t5-xl", "opt-350m", "opt-iml-1.3b"},
    "strategyqa": {"t5-base", "t5-large", "t5-xl", "gpt2-large"},
    "openbookqa": {"t5-base", "t5-large", "t5-xl", "gpt2-large"},
}
"""Table 1, Table 2, and a decoder-only student that the paper has for MedQA alone."""
KARD_TASKS = {"medqa": "medqa_usmle_hf", "strategyqa": "strategyqa", "openbookqa": "obqa"}
NO_INDEX = "knowledge.index: no folder 'enwiki-paragraphs'; `tutelage index CORPUS --out DIR` makes one"

EIGHT = {
    "strategy_qa",
    "commonsense_qa",
    "asdiv",
    "svamp",
    "gsm8k",
    "tracking_shuffled_objects",
    "date_understanding",
    "last_letter_concatenation",
}
LACKING = {"commonsense_qa", "gsm8k", "asdiv"}
"""Data sets whose rationales are not with the paper's data; of asdiv the questions are not either."""

BRING = (
    "teacher: none are recorded in the data folder for '{task}'; name a file of yours as `teacher.path`, each row with "
    "`question` and `rationales`"
)
SIZE = re.compile(r"-(small|base|large|xl|xxl)$")
EPOCHS = {"small": 20, "base": 20, "large": 10, "xl": 18, "xxl": 18}
"""Section 4.1."""
MENTOR_RATES = {
    ("t5", "asdiv"): 1e-4,
    ("t5", "svamp"): 3e-4,
    ("t5", "last_letter_concatenation"): 1e-4,
    ("t5", "date_understanding"): 2e-4,
    ("t5", "commonsense_qa"): 1e-4,
    ("t5", "tracking_shuffled_objects"): 2e-4,
    ("t5", "strategy_qa"): 1e-4,
    ("flan-t5", "asdiv"): 1e-4,
    ("flan-t5", "svamp"): 1e-4,
    ("flan-t5", "last_letter_concatenation"): 2e-4,
    ("flan-t5", "commonsense_qa"): 1e-4,
    ("flan-t5", "date_understanding"): 1e-4,
    ("flan-t5", "tracking_shuffled_objects"): 1e-4,
    ("flan-t5", "strategy_qa"): 1e-4,
}
"""shells/data/augment_train_data.sh at 2hojae/mentor-kd, ec9ea11."""


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("checking a recipe must not touch the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def arms(recipe: Recipe) -> list[Recipe]:
    """The recipe as each of its arms sees it."""
    return [recipe.for_arm(arm) for arm in recipe.arms]


def learners(recipe: Recipe) -> list[LearnerSection]:
    return [learner for seen in arms(recipe) for learner in (seen.student, *seen.mentors)]


def size_of(learner: LearnerSection) -> str:
    found = SIZE.search(learner.model)
    assert found, learner.model
    return found[1]


def commands(text: str, verb: str = "run") -> list[list[str]]:
    """The arguments of every `tutelage run` in a recipe's comments; a backslash goes on in the next line."""
    spoken = "\n".join(line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#"))
    lines = spoken.replace("\\\n", " ").splitlines()
    return [shlex.split(line)[2:] for line in lines if line.startswith(f"tutelage {verb} ")]


def index_as_told(name: str, folder: Path) -> None:
    """Make the index that a recipe asks for by the command in its comments, from two paragraphs."""
    rows = [{"id": f"p-{n}", "title": "Bead", "text": f"Bead number {n} is round."} for n in range(2)]
    [words] = commands(builtin()[name].read_text(encoding="utf-8"), "index")
    with gzip.open(folder / words[0], "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    done = CliRunner().invoke(app, ["index", *words])
    assert done.exit_code == 0, done.output


def load_command(words: list[str]) -> Recipe:
    name, *rest = words
    if "--out" in rest:
        del rest[rest.index("--out") : rest.index("--out") + 2]
    return recipes.load(name, rest)[0]


SPOKEN = [(name, words) for name in NAMES for words in commands(builtin()[name].read_text(encoding="utf-8"))]


def test_there_is_a_recipe_for_each_data_set_of_the_paper_and_each_sweep():
    """A table of the paper without a recipe cannot be compared with."""
    for family in ("t5", "flan-t5"):
        assert {name.split("/")[3] for name in TABLES if f"/{family}/" in name} == EIGHT
    assert {name.split("/")[3] for name in TABLES if "/main/" in name} == {"gsm8k", "asdiv", "svamp", "commonsense_qa"}
    assert {name.split("/")[2] for name in SWEEPS} == {"degree", "mentor-size", "weight", "teacher-share", "ablation"}
    for task, students in KARD_STUDENTS.items():
        assert {name.split("/")[3] for name in KARD_TABLES if f"/{task}/" in name} == students
    assert {name.split("/")[2] for name in KARD_SWEEPS} == {"candidates", "data", "passages", "rationales"}


@pytest.mark.parametrize("name", NAMES)
def test_every_arm_of_a_built_in_recipe_is_one(name: str):
    """An arm's own changes are parsed when it runs, hours after the others."""
    recipe, _ = recipes.load(name)
    assert len(arms(recipe)) == len(recipe.arms)
    assert {arm.method for arm in recipe.arms} <= set(METHODS)
    told = [(arm.method, repr(seen)) for seen, arm in zip(arms(recipe), recipe.arms, strict=True)]
    assert len(set(told)) == len(told), "two arms are the same by other names"


@pytest.mark.parametrize("name", OFFLINE)
def test_offline_recipes_have_no_problems(name: str):
    """What is offered as running without network must."""
    assert problems(recipes.load(name)[0]) == []


@pytest.mark.parametrize("name", [pytest.param(name, marks=needs_data) for name in PUBLISHED_DATA])
def test_recipes_on_published_data_run_or_say_what_file_to_bring(name: str):
    """Whoever lacks a file must read its name, not a traceback, and before a model is loaded."""
    recipe, text = recipes.load(name)
    task = recipe.task.name
    found = problems(recipe)
    if task not in LACKING:
        assert found == ([NO_INDEX] if name in OF_KARD else [])
        return
    assert [problem for problem in found if problem.startswith("teacher")] == [BRING.format(task=task)]
    rest = [problem for problem in found if not problem.startswith("teacher")]
    assert len(rest) == (task == "asdiv")
    assert all("asdiv_train.json" in problem and "\n" not in problem for problem in rest)
    assert "# Bring the " in text
    assert any("teacher.path=" in word for words in commands(text) for word in words)


@pytest.mark.parametrize(
    ("name", "words"),
    [pytest.param(name, words, marks=needs_data) for name, words in SPOKEN],
    ids=lambda v: str(v)[:60],
)
def test_commands_in_comments_run(name: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A command that is copied from a recipe and fails is worse than none; files to bring have the shapes they say."""
    monkeypatch.chdir(tmp_path)
    rows = [
        {"instruction": f"Tova has {n} beads and finds 5 more. How many?\n", "output": ["a", "b"], "label": str(n + 5)}
        for n in range(30)
    ]
    for folder in ("ASDiv", "CSQA", "GSM8K"):
        (tmp_path / folder).mkdir()
        for file in ("train.json", "test.json"):
            asked = rows[:20] if file == "train.json" else rows[20:]
            (tmp_path / folder / file).write_text(json.dumps(asked), encoding="utf-8")
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k" / "train.jsonl").write_text('{"question": "a", "answer": "b #### 1"}\n', encoding="utf-8")
    if name in OF_KARD:
        index_as_told(name, tmp_path)
    recipe = load_command(words)
    assert words[0] == name
    assert problems(recipe) == []
    assert plans(recipe, tmp_path / "run")


@pytest.mark.parametrize("name", [pytest.param("mentor-kd/paper/flan-t5/gsm8k", marks=needs_data)])
def test_the_worked_solutions_of_gsm8k_are_a_teacher(name: str):
    """The recipe says that they serve; solutions that join no question would end in an empty study."""
    from tutelage.methods.sources import annotate, load_task
    from tutelage.tasks.grading import graded

    assert DATA
    file = Path(DATA) / "gsm8k" / "train.jsonl"
    if not file.is_file():
        pytest.skip("gsm8k/train.jsonl, the data set's own file, is not there")
    recipe, _ = recipes.load(name, [f"teacher.path={file}"])
    assert recipe.teacher
    task = load_task(recipe.task)
    asked = task.questions["train"][:200]
    written = annotate(recipe.teacher, recipe.task, asked)
    by_id = {question.id: question for question in asked}
    judged = [graded(r, by_id[r.question_id], task.answer_type) for r in written.rationales]
    assert len(judged) == 200
    assert Counter(r.verdict for r in judged) == {"correct": 200}


@pytest.mark.parametrize("name", OF_THE_PAPER)
def test_values_lie_in_the_ranges_of_the_paper(name: str):
    """A table made with other settings than the paper's compares nothing."""
    recipe, _ = recipes.load(name)
    main = "/main/" in name
    for learner in learners(recipe):
        size = size_of(learner)
        large = main or size in ("xl", "xxl")
        assert learner.epochs == EPOCHS[size], size
        assert learner.learning_rate in ((1e-4, 2e-4, 3e-4, 5e-4) if large else (1e-4, 2e-4, 3e-4, 4e-4, 5e-4))
        assert learner.batch_size * learner.accumulate in (2, 4, 6, 8)
        assert learner.max_prompt_tokens == learner.max_target_tokens == 512
        assert (learner.lora is not None) == large
        if learner.lora:
            assert learner.lora.rank == {"xl": 64, "xxl": 128}[size]
            assert (learner.lora.alpha, learner.lora.targets, learner.precision) == (32, ["q", "v"], "bf16")
    for seen in arms(recipe):
        assert seen.soft_labels.temperature in ((1.0, 2.0) if main else (1.0, 1.5, 2.0))
        assert all(mentor.temperature == 0.7 for mentor in seen.mentors)
        assert seen.format == ("therefore" if main else "mentor-kd-published")
        assert seen.teacher
        assert seen.teacher.backend == "recorded"
        if name in TABLES:
            assert seen.soft_labels.weight == 0.3
            assert all(mentor.samples == 3 for mentor in seen.mentors)
            assert seen.teacher.keep == 3
            assert (seen.mcc.weight, seen.mcc.temperature) in ((0.1, 1.3), (0.1, 1.0))


@pytest.mark.parametrize("name", [name for name in TABLES if "/t5/" in name or "/flan-t5/" in name])
def test_a_table_has_its_models_methods_and_the_authors_rate_for_the_mentor(name: str):
    """A row of the wrong size or family, or a rate of another data set, would be compared with the paper's."""
    _, _, family, task = name.split("/")
    recipe, _ = recipes.load(name)
    assert recipe.task.name == task
    hub = {"t5": "google-t5/t5-", "flan-t5": "google/flan-t5-"}[family]
    assert recipe.mentor
    assert recipe.mentor.model == hub + "large"
    assert recipe.mentor.learning_rate == MENTOR_RATES.get((family, task), 1e-4)
    methods = {"reasoning-distillation": "Vanilla-KD", "mentor-kd": "Mentor-KD", "mcc-kd": "MCC-KD"}
    if task == "gsm8k":
        del methods["mcc-kd"]
    rows = {arm.name: (arm.method, recipe.for_arm(arm).student.model) for arm in recipe.arms if arm.method != "mentor"}
    assert rows == {
        f"{title}, {size}": (method, hub + size) for method, title in methods.items() for size in ("small", "base")
    }
    assert [arm.name for arm in recipe.arms if arm.method == "mentor"] == ["Mentor, large"]


@pytest.mark.parametrize("name", TABLES)
def test_every_value_of_a_table_says_where_it_is_from(name: str):
    """A number without a source is taken for the paper's."""
    text = builtin()[name].read_text(encoding="utf-8")
    sections = text[text.index("\ntask:") : text.index("\narms:")].splitlines()[1:]
    bare = [line for line in sections if not line.endswith(":") and " # " not in line]
    assert bare == []
    assert "%" in text.partition("\ntitle:")[0] or "gsm8k" in name, "no published row to compare with"


@pytest.mark.parametrize("name", OF_KARD)
def test_values_of_kard_are_those_of_its_paper_and_code(name: str):
    """A table made with other settings than the paper's compares nothing."""
    recipe, _ = recipes.load(name)
    assert recipe.teacher
    assert recipe.verifier
    assert recipe.knowledge
    assert (recipe.teacher.backend, recipe.teacher.samples, recipe.format) == ("recorded", 10, "kard-published")
    assert (recipe.verifier.model, recipe.verifier.match) == ("google/flan-t5-large", False)
    assert (recipe.verifier.shots, recipe.few_shot.shots if name in KARD_TABLES else 5) == (5, 5)
    assert (recipe.knowledge.k1, recipe.knowledge.b, recipe.knowledge.query) == (0.9, 0.4, "question-and-choices")
    assert (recipe.knowledge.passages, recipe.knowledge.candidates) == (1, 100)
    score = recipe.score
    assert (score.votes, score.temperature, score.top_p, score.top_k) == (5, 1.0, 0.95, 50)
    assert recipe.seeds == [1, 2, 3]
    student = recipe.student
    assert (student.learning_rate, student.epochs, student.batch_size * student.accumulate) == (1e-4, 3, 32)
    assert (student.schedule, student.warmup, student.weight_decay, student.lora) == ("constant", 0.0, 0.0, None)


@pytest.mark.parametrize("name", [name for name in OF_KARD if recipes.load(name)[0].knowledge.reranker])  # type: ignore[union-attr]
def test_the_reranker_of_kard_is_that_of_its_code_with_the_loss_of_its_paper(name: str):
    """BioLinkBERT read medical papers; its loss by default in the code is not the one that the paper describes."""
    recipe, _ = recipes.load(name)
    assert recipe.knowledge
    reranker = recipe.knowledge.reranker
    assert reranker
    medical = recipe.task.name == "medqa_usmle_hf"
    assert reranker.base == f"michiyasunaga/{'BioLinkBERT' if medical else 'LinkBERT'}-base"
    assert (reranker.epochs, reranker.learning_rate, reranker.batch_size, reranker.warmup) == (3, 1e-4, 16, 0.05)
    assert (reranker.candidates, reranker.searched, reranker.loss, reranker.seed) == (8, 32, "kl", 42)
    assert reranker.lora
    assert (reranker.lora.rank, reranker.lora.alpha, reranker.lora.dropout, reranker.lora.targets) == (
        16,
        32,
        0.1,
        None,
    )


@pytest.mark.parametrize("name", KARD_TABLES)
def test_a_table_of_kard_has_its_student_its_rows_and_their_published_values(name: str):
    """A row of another student, or one that is missing, cannot be laid beside the paper's."""
    _, _, task, student = name.split("/")
    recipe, text = recipes.load(name)
    assert recipe.task.name == KARD_TASKS[task]
    assert recipe.student.model.rpartition("/")[2] == {"t5-xl": "t5-3b"}.get(student, student)
    rows = ["few-shot", "few-shot-cot", "knowledge-few-shot-cot", "fine-tuning", "knowledge-fine-tuning"]
    rows += ["reasoning-distillation", "rag", "kard-bm25", "kard", "kard-oracle"]
    assert [arm.method for arm in recipe.arms] == [row for row in rows if row != "rag" or task != "openbookqa"]
    told = dict(re.findall(r"^#   (\S.*\S)  +(\d+\.\d+)(?:±\d*\.\d+)?$", text, re.MULTILINE))
    titles = [METHODS[row].title for row in rows if row != "rag"]
    assert list(told) == ([] if student == "gpt2-large" else titles)
    assert "kard-oracle searches with" in text


@pytest.mark.parametrize("name", OF_KARD)
def test_every_value_of_kard_says_where_it_is_from(name: str):
    """A number without a source is taken for the paper's."""
    text = builtin()[name].read_text(encoding="utf-8")
    settings = text[text.index("\ntask:") : text.index("\narms:")] + text[text.index("\nseeds:") :]
    bare = [line for line in settings.splitlines() if line and not line.endswith(":") and "# " not in line]
    assert bare == []


ABOUT_KARD = [name for name in NAMES if "knowledge:" in builtin()[name].read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", ABOUT_KARD)
def test_a_recipe_is_no_wider_than_the_page(name: str):
    """A comment that runs off the screen is not read."""
    assert [line for line in builtin()[name].read_text(encoding="utf-8").splitlines() if len(line) > 120] == []


@pytest.mark.parametrize("name", [pytest.param(name, marks=needs_data) for name in KARD_SWEEPS])
def test_the_index_that_a_recipe_asks_for_is_made_as_its_comment_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Whoever follows the comment must end with a recipe that runs."""
    monkeypatch.chdir(tmp_path)
    recipe, _ = recipes.load(name)
    assert problems(recipe) == [NO_INDEX]
    index_as_told(name, tmp_path)
    assert problems(recipe) == []


MULTIPLES = {"main", "chain"}
"""Means of four seeds, and a sentence of its own."""


@pytest.mark.parametrize("name", [n for n in TABLES if n.split("/")[2] not in MULTIPLES and not n.endswith("gsm8k")])
def test_published_rows_are_shares_of_the_test_questions(name: str):
    """A digit mistyped in a comment is a wrong target; 97 of the tables' 98 values are whole answers of one run."""
    text = builtin()[name].read_text(encoding="utf-8")
    n = int(re.search(r"in % of (\d+) test questions", text)[1])  # type: ignore[index]
    values = [float(v) for line in text.splitlines() if re.match(r"#   (Vanilla|MCC|Mentor)-KD ", line)
              for v in re.findall(r"\d+\.\d\d", line)]  # fmt: skip
    assert len(values) == 7
    off = [v for v in values if abs(v - round(v * n / 100) * 100 / n) > 0.011]
    assert off == ([13.05] if name == "mentor-kd/paper/t5/svamp" else [])


def kinds(recipe: Recipe, folder: Path, seed: int, *methods: str) -> Counter[str]:
    """How many different stages of each kind the arms of these methods need for one seed."""
    chosen = {f"{arm.name}, seed {seed}" for arm in recipe.arms if arm.method in methods}
    planned = plans(recipe, folder)
    assert chosen <= set(planned)
    return Counter(name.rpartition("-")[0] for name in {stage for label in chosen for stage in planned[label]})


@pytest.mark.parametrize("name", ["pocket/sweeps/weight", pytest.param("mentor-kd/sweeps/weight", marks=needs_data)])
def test_a_sweep_over_the_weight_of_soft_labels_makes_them_once(name: str, tmp_path: Path):
    """Seven arms with a mentor each cost seven times as much and compare seven mentors."""
    found = kinds(recipes.load(name)[0], tmp_path, 1, "mentor-kd")
    shared = {kind: found[kind] for kind in ("rationales", "mentor", "written", "augmented", "soft-labels")}
    assert shared == dict.fromkeys(shared, 1)
    assert found["student"] == found["score"] == 7


@pytest.mark.parametrize(
    ("name", "degrees"),
    [("pocket/sweeps/degree", 4), pytest.param("mentor-kd/sweeps/degree", 9, marks=needs_data)],
)
def test_a_sweep_over_the_degree_has_one_mentor_that_writes_once(name: str, degrees: int, tmp_path: Path):
    """Degrees whose texts were drawn anew measure luck, and one mentor of nine samples writes for all."""
    found = kinds(recipes.load(name)[0], tmp_path, 1, "mentor-kd")
    assert found["mentor"] == found["written"] == 1
    assert found["augmented"] == found["soft-labels"] == found["student"] == degrees


@pytest.mark.parametrize(
    ("name", "mentors", "written", "soft"),
    [
        pytest.param("mentor-kd/sweeps/ablation", 1, 1, 2, marks=needs_data),
        pytest.param("mentor-kd/sweeps/mentor-size", 4, 4, 4, marks=needs_data),
        pytest.param("mentor-kd/sweeps/teacher-share", 6, 6, 6, marks=needs_data),
        pytest.param("mentor-kd/paper/flan-t5/svamp", 1, 1, 1, marks=needs_data),
        pytest.param("mentor-kd/paper/main/svamp", 1, 1, 1, marks=needs_data),
        pytest.param("mentor-kd/paper/chain", 3, 3, 3, marks=needs_data),
        # corrected, as published, last epoch, plain AdamW, other rationales; the live mentor lends no soft labels
        pytest.param("mentor-kd/published-or-corrected", 5, 5, 4, marks=needs_data),
    ],
)
def test_arms_share_their_mentors(name: str, mentors: int, written: int, soft: int, tmp_path: Path):
    """A mentor trained twice for no reason is hours lost, and one shared that should differ is a wrong row."""
    found = kinds(recipes.load(name)[0], tmp_path, 1, "mentor-kd", "mentor")
    assert (found["mentor"], found["written"], found["soft-labels"]) == (mentors, written, soft)


KARD_ARMS = ("kard-bm25", "kard", "kard-oracle")


@pytest.mark.parametrize("name", ["pocket/kard", *(pytest.param(n, marks=needs_data) for n in KARD_TABLES)])
def test_searches_of_kard_share_student_index_and_reranker(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """BM25, reranker and oracle are compared with one student; a student each would measure luck."""
    monkeypatch.chdir(tmp_path)
    recipe, _ = recipes.load(name, ["seeds=[1]"])
    if name != "pocket/kard":
        index_as_told(name, tmp_path)
    assert problems(recipe) == []
    found = kinds(recipe, tmp_path / "run", 1, *KARD_ARMS)
    assert (found["student"], found["reranker"], found["score"]) == (1, 1, 3)
    assert found["index"] == (name == "pocket/kard")
    assert found["asked"] == found["beside"] == 1


@pytest.mark.parametrize(
    ("name", "students", "rerankers", "scores"),
    [
        ("pocket/sweeps/candidates", 1, 1, 4),
        ("pocket/sweeps/passages", 3, 1, 6),
        pytest.param("kard/sweeps/candidates", 1, 1, 3, marks=needs_data),
        pytest.param("kard/sweeps/passages", 3, 1, 6, marks=needs_data),
        pytest.param("kard/sweeps/rationales", 3, 0, 3, marks=needs_data),  # BM25 alone: no reranker is trained
        pytest.param("kard/sweeps/data", 3, 0, 3, marks=needs_data),
    ],
)
def test_sweeps_of_kard_share_what_does_not_differ(
    name: str, students: int, rerankers: int, scores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A reranker trained for every number of candidates costs hours, and compares rerankers."""
    monkeypatch.chdir(tmp_path)
    if name in OF_KARD:
        index_as_told(name, tmp_path)
    found = kinds(recipes.load(name, ["seeds=[1]"])[0], tmp_path / "run", 1, *KARD_ARMS)
    assert (found["student"], found["reranker"], found["score"]) == (students, rerankers, scores)
    assert found["index"] == (name not in OF_KARD)


def test_a_sweep_over_the_teachers_share_takes_about_as_many_steps_everywhere():
    """A twentieth of the rationales seen as often as all of them is a twentieth of the training, not of the data."""
    recipe, _ = recipes.load("pocket/sweeps/share")
    steps: dict[str, list[int]] = {}
    for arm in recipe.arms:
        seen = recipe.for_arm(arm)
        learner = seen.mentor if arm.method == "grounded-mentor" else seen.student
        assert learner
        assert seen.teacher
        steps.setdefault(arm.method, []).append(learner.epochs * ceil(1000 * seen.teacher.share / learner.batch_size))
    assert {method: len(counts) for method, counts in steps.items()} == {
        "reasoning-distillation": 4, "kard": 4, "grounded-mentor": 4
    }  # fmt: skip
    assert all(140 <= count <= 160 for counts in steps.values() for count in counts)


def test_planning_reads_the_questions_once_for_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Reckoned anew for every stage, `tutelage check` of thirty arms took twenty seconds, and minutes for GSM8K."""
    seen: Counter[str] = Counter()
    content = study._content

    def counted(question: Question) -> Any:
        seen[question.id] += 1
        return content(question)

    monkeypatch.setattr(study, "_content", counted)
    jobs = plans(recipes.load("pocket/sweeps/degree", ["task.limit=20"])[0], tmp_path)
    assert set(seen.values()) == {len(jobs)}


def test_each_published_convention_has_an_arm_of_its_own():
    """A difference between published and corrected that no arm explains is left to guessing."""
    recipe, _ = recipes.load("mentor-kd/published-or-corrected")
    changed = {arm.name: arm.set for arm in recipe.arms if arm.method == "mentor-kd"}
    assert changed.pop("corrected") == {}
    assert changed.pop("as published")["published"] is True
    alone = {key: value for arm in changed.values() for key, value in arm.items()}
    assert alone == PUBLISHED


def test_the_documents_name_recipes_that_are_there_and_every_published_convention():
    """A reader who looks for what was changed must find all of it, and a recipe that is named must run."""
    text = (Path(__file__).parent.parent / "docs" / "papers.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:mentor-kd|kard|pocket)/[a-z0-9_/.-]*[a-z0-9])`", text))
    assert named <= set(NAMES)
    assert {*SWEEPS, *KARD_SWEEPS, "mentor-kd/paper/chain", "mentor-kd/published-or-corrected"} <= named
    assert {f"K{n}" for n in range(1, 30)} <= set(re.findall(r"^\| (K\d+) ", text, re.MULTILINE))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    for key in PUBLISHED:
        section, _, name = key.partition(".")
        told = [line for line in lines if f"`{key}" in line or (section == "mentor" and f"`student.{name}" in line)]
        assert told, key
        assert section != "mentor" or any(f"`{key}" in line or "and the mentor's" in line for line in told), key


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_names_no_key_twice(name: str):
    """YAML takes the last of two equal keys without a word."""

    class Strict(yaml.SafeLoader):
        pass

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
        keys = [loader.construct_object(key) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        assert len(keys) == len(set(keys)), keys
        loader.flatten_mapping(node)
        return loader.construct_mapping(node)

    Strict.add_constructor("tag:yaml.org,2002:map", mapping)
    assert yaml.load(builtin()[name].read_text(encoding="utf-8"), Strict)

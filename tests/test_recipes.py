"""The built-in recipes: they run, they stay within what the papers say, and their sweeps share what they can."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

from tutelage import recipe as recipes
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


def commands(text: str) -> list[list[str]]:
    """The arguments of every `tutelage run` in a recipe's comments; a backslash goes on in the next line."""
    spoken = "\n".join(line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#"))
    lines = spoken.replace("\\\n", " ").splitlines()
    return [shlex.split(line)[2:] for line in lines if line.startswith("tutelage run ")]


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
        assert found == []
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
        assert seen.format == ("therefore" if main else "arrow")
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
    named = set(re.findall(r"`((?:mentor-kd|pocket)/[a-z0-9_/-]*[a-z0-9])`", text))
    assert named <= set(NAMES)
    assert {*SWEEPS, "mentor-kd/paper/chain", "mentor-kd/published-or-corrected"} <= named
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

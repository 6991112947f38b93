"""Mentor-KD as a study: what is shared, what each arm learns from, and what the report is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tutelage.methods import Outcome
from tutelage.methods.check import plans, problems
from tutelage.methods.jobs import Job
from tutelage.methods.result_parts.warnings import leaks as leak_of
from tutelage.methods.result_parts.written import missing
from tutelage.methods.results import _warnings, title_of
from tutelage.methods.run import run
from tutelage.recipe import Arm, Recipe, parse
from tutelage.runs import Stage, Workspace, read_json, read_jsonl, write_json
from tutelage.tasks.answers import NUMBER
from tutelage.tasks.task import Task
from tutelage.types import Question

RAW: dict[str, Any] = {
    "task": {"name": "pocket/steps", "limit": 40},
    "teacher": {"backend": "pocket", "share": 0.5, "error_rate": 0.1},
    "student": {"model": "pocket/nano", "learning_rate": 2e-3, "epochs": 2, "max_target_tokens": 96},
    "mentor": {"model": "pocket/nano", "samples": 2, "epochs": 4},
    "arms": [
        "reasoning-distillation",
        "mentor-kd",
        {"method": "mentor-kd", "name": "augmentation only", "set": {"soft_labels.weight": 0}},
        {"method": "mentor-kd", "name": "soft labels only", "set": {"mentor.samples": 0, "soft_labels.top_k": "auto"}},
        {"method": "mentor-kd", "name": "one sample", "set": {"mentor.samples": 1}},
        "mentor",
    ],
    "seeds": [1],
    "score": {"dev_limit": 4},
    "compute": {"jobs": 1, "device": "cpu"},
}


def recipe(**more: Any) -> Recipe:
    return parse({**RAW, **more}, where="test")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mentor-kd") / "run"
    run(recipe(), "# text", folder, name="mentor-kd")
    return folder


def names_of(folder: Path) -> Callable[[str], set[str]]:
    """Stages of a job by its arm."""
    planned = plans(recipe(), folder)
    return lambda arm: set(planned[f"{arm}, seed 1"])


def stages(folder: Path, name: str) -> list[Path]:
    return sorted((folder / "stages").glob(f"{name}-*"))


def test_arms_share_the_mentor_and_everything_else_that_does_not_differ(finished: Path):
    """A mentor trained once for every arm makes a study four times as long, and compares arms of different mentors."""
    assert len(stages(finished, "mentor")) == 1
    assert len(stages(finished, "written")) == 1, "the arm with one sample uses the first of two"
    assert len(stages(finished, "soft-labels")) == 3, "one for each set of examples"
    assert len(stages(finished, "student")) == 5
    arm = names_of(finished)
    assert not {name for name in arm("soft labels only") if name.startswith(("written", "augmented"))}
    assert not {name for name in arm("augmentation only") if name.startswith("soft-labels")}


def test_the_report_knows_what_the_soft_labels_miss(finished: Path):
    """A top k that leaves out a quarter of what the mentor says looks like a mentor that has little to say."""
    results = read_json(finished / "results.json")
    caches = {cache["top_k"]: cache for cache in results["soft_labels"]}
    assert caches.keys() == {16, "auto"}
    assert caches[16]["stored"] == 16
    assert 0 < caches["auto"]["missed"] <= caches["auto"]["max_missed"] == 0.05
    assert {cache["against"] for cache in caches.values()} == {"pocket/nano"}
    assert not [warning for warning in results["warnings"] if warning.startswith("Soft labels")]
    few = {**caches[16], "missed": 0.121, "tail_mass": 0.223, "temperature": 2.0}
    assert list(missing([few, few, caches["auto"], {"mentor": "of an earlier version"}])) == [
        "Soft labels: the top 16 of mentor pocket/nano at temperature 2 leave out 22% of the mass and 12% of the "
        "divergence; soft_labels.max_missed is 5%. Raise soft_labels.top_k, or set it to auto."
    ]


def test_the_mentor_writes_for_every_training_question_and_for_no_other(finished: Path):
    """A rationale of a held-out question would teach the test; half of the questions have no teacher rationale."""
    (questions,) = stages(finished, "questions")
    train = {row["id"] for row in read_jsonl(questions / "questions.jsonl") if row["split"] == "train"}
    (written,) = stages(finished, "written")
    rows = read_jsonl(written / "rationales.jsonl")
    assert {row["question_id"] for row in rows} == train
    assert len(rows) == 2 * len(train)
    assert all(row["source"].startswith("mentor:") and row["verdict"] for row in rows)


def test_fewer_samples_learn_from_a_part_of_what_more_samples_learn_from(finished: Path):
    """A degree sweep whose arms see different texts measures luck."""
    kept = sorted(
        ({(row["question_id"], row["text"]) for row in read_jsonl(path / "kept.jsonl")} for path in
         stages(finished, "augmented")), key=len)  # fmt: skip
    assert len(kept) == 2
    assert kept[0] <= kept[1]


def test_a_rationale_the_teacher_wrote_too_is_learnt_once(finished: Path):
    """Exact duplicates of the published augmentation weigh a question twice (189 of 1,558 for SVAMP)."""
    for path in stages(finished, "examples"):
        targets = [(row["prompt"], " ".join(row["target"].split())) for row in read_jsonl(path / "train.jsonl")]
        assert len(targets) == len(set(targets))


def test_results_tell_of_each_source_what_became_of_it(finished: Path):
    """Arms whose mentors yield differently cannot be compared by anyone who is not told."""
    results = json.loads((finished / "results.json").read_text())
    teacher, *mentors = results["sources"]
    assert teacher["role"] == "teacher"
    assert [m["role"] for m in mentors] == ["mentor", "mentor"]
    for source in results["sources"]:
        counts = dict(source["yield"])
        assert counts.pop("asked") == sum(counts.values())
    assert {m["yield"]["asked"] for m in mentors} == {40, 80}, "40 training questions, one sample or two"
    assert all(0 <= m["gained"] <= m["without_teacher"] for m in mentors)
    assert {row["arm"]: row["reference"] for row in results["arms"]}["mentor"] is True
    assert [labels["mentor"] for labels in results["soft_labels"]] == ["pocket/nano"] * 3
    assert all(0 < labels["bytes_per_token"] <= 67 for labels in results["soft_labels"])


def test_both_terms_of_the_loss_stand_in_the_history(finished: Path):
    """A term that drowns the other must be seen, not guessed."""
    results = json.loads((finished / "results.json").read_text())
    row = next(row for row in results["arms"] if row["arm"] == "mentor-kd")
    for epoch in read_jsonl(finished / row["history"]):
        assert set(epoch["terms"]) == set(epoch["gradient_norms"]) == {"rationale", "soft"}
        assert epoch["loss"] == pytest.approx(sum(epoch["terms"].values()), rel=1e-5)


def test_a_second_run_makes_nothing(finished: Path):
    """A resumed night must not begin again."""
    before = {path: path.stat().st_mtime_ns for path in finished.glob("stages/*/*")}
    run(recipe(), "# text", finished, name="mentor-kd")
    assert {path: path.stat().st_mtime_ns for path in finished.glob("stages/*/*")} == before


def test_a_chain_is_a_recipe(tmp_path: Path):
    """Teacher, large, medium, small: each mentor learns as the student does from the one before it."""
    chain = {"model": "pocket/nano", "samples": 1, "mentor": {"model": "pocket/mini", "samples": 1}}
    planned = plans(recipe(mentor=chain, arms=["mentor-kd"]), tmp_path)["mentor-kd, seed 1"]
    kinds = [name.rpartition("-")[0] for name in planned]
    assert kinds.count("mentor") == 2
    assert kinds.count("soft-labels") == 2
    assert kinds.index("mentor") < kinds.index("written") < kinds.index("soft-labels")


def test_a_mentor_in_a_chain_is_lent_to_by_its_own_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With the student's, a chain of unlike limits ended after the innermost mentor's night."""
    chain = {"model": "pocket/nano", "max_prompt_tokens": 200, "mentor": {"model": "pocket/mini"}}
    student = {**RAW["student"], "max_prompt_tokens": 40}
    asked = inputs(recipe(mentor=chain, student=student, arms=["mentor-kd"]), tmp_path, monkeypatch)
    assert [each["max_prompt_tokens"] for each in asked("soft-labels")] == [200, 40]


def test_one_mentor_for_all_seeds_has_one_mentor_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its own mentor was another one for each seed, and so was it."""
    chain = {"model": "pocket/nano", "seed": 5, "mentor": {"model": "pocket/mini"}}
    wanted = recipe(mentor=chain, arms=["mentor-kd"], seeds=[1, 2])
    found = [plans(wanted, tmp_path)[f"mentor-kd, seed {seed}"].values() for seed in (1, 2)]
    mentors = [{stage.fingerprint for stage in planned if stage.name == "mentor"} for planned in found]
    assert len(mentors[0]) == 2
    assert mentors[0] == mentors[1]
    assert {each["seed"] for each in inputs(wanted, tmp_path, monkeypatch)("mentor")} == {5}


def inputs(wanted: Recipe, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[dict[str, Any]]]:
    """What the stages of a kind are made from, in order, each once."""
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    stage = Workspace.stage

    def noting(self: Workspace, name: str, inputs: dict[str, Any], make: Any) -> Stage:
        found = stage(self, name, inputs, make)
        seen[name, found.fingerprint] = inputs
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Workspace, "stage", noting)
        plans(wanted, folder)
    return lambda name: [inputs for (kind, _), inputs in seen.items() if kind == name]


@pytest.mark.parametrize(
    ("method", "changed", "leaks"),
    [
        ("mentor-kd", {"mentor.select": "test_accuracy"}, True),
        ("mentor", {"mentor.select": "test_accuracy"}, True),
        ("mentor", {"student.select": "test_accuracy"}, False),
        ("reasoning-distillation", {"mentor.select": "test_accuracy"}, False),
        ("mentor-kd", {"published": True}, True),
    ],
)
def test_a_row_says_whether_the_test_split_chose_an_epoch_of_its_models(
    tmp_path: Path, method: str, changed: dict[str, Any], leaks: bool
):
    """A mentor chosen on test hands what it saw on to its student; a student outside the row hands on nothing."""
    write_json(tmp_path / "training.json", {"cut": {"prompts": 0, "targets": 0}})
    trained = Stage("student", "f", tmp_path, cached=True)
    study = recipe(arms=[{"method": method, "set": changed}])
    warnings = list(_warnings(study, [(Job(study.arms[0], 1), Outcome(trained, trained))]))
    assert bool(warnings) == leaks
    assert bool(leak_of(study, study.arms[0])) == leaks


@pytest.mark.parametrize(
    ("changed", "dev", "said"),
    [
        (
            {"score.dev_limit": 200},
            99,
            ["its epoch was chosen on 99 dev questions; with so few, the choice is largely chance."],
        ),
        ({"score.dev_limit": 200}, 100, []),
        (
            {"score.dev_limit": 40},
            500,
            ["its epoch was chosen on 40 dev questions; with so few, the choice is largely chance."],
        ),
        ({"student.select": "last"}, 9, []),
        ({"student.epochs": 1}, 9, []),
        ({"student.evaluate_every": 2}, 9, []),
    ],
)
def test_an_epoch_chosen_on_few_dev_questions_is_warned_of(
    tmp_path: Path, changed: dict[str, Any], dev: int, said: list[str]
):
    """The best of ten epochs on forty questions is mostly the luckiest."""
    write_json(tmp_path / "training.json", {"cut": {"prompts": 0, "targets": 0}})
    trained = Stage("student", "f", tmp_path, cached=True)
    study = recipe(arms=[{"method": "reasoning-distillation", "set": changed}])
    asked = {"dev": tuple(Question(f"q-{n}", "t", "dev", "?", (), "1") for n in range(dev))}
    task = Task("t", NUMBER, asked, ())  # type: ignore[arg-type]
    warnings = list(_warnings(study, [(Job(study.arms[0], 1), Outcome(trained, trained))], task))
    assert [text.partition(": ")[2] for text in warnings] == said


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"mentor": None}, "mentor: missing"),
        ({"mentor": {"model": "./nowhere"}}, "mentor.model"),
        ({"mentor": {"model": "pocket/nano", "mentor": {"model": "pocket/huge"}}}, "mentor.mentor.model"),
        ({"teacher": None}, "teacher: missing"),
        ({"soft_labels": {"loss": "no_such_module:fn"}}, "soft_labels: "),
        ({"soft_labels": {"loss": "hidden-mse", "live": True, "layers": [[9, 1]]}}, "the student has decoder layers 1"),
        ({"soft_labels": {"loss": "hidden-mse", "live": True, "layers": [[1, 9]]}}, "the mentor has decoder layers 1"),
    ],
)
def test_what_a_mentor_lacks_is_told_before_anything_runs(more: dict[str, Any], said: str):
    """A night of training must not end with the sentence that a model does not exist."""
    assert [problem for problem in problems(recipe(arms=["mentor-kd"], **more)) if said in problem]


@pytest.mark.parametrize("learner", ["student", "mentor"])
def test_adapters_that_a_model_cannot_have_are_told_before_anything_runs(learner: str):
    """A layer that shares its weights, or one that is not there, must not end a night of training."""
    for layer, said in (("lm_head", "share their weights"), ("no_such_layer", "not found")):
        adapted = {**RAW[learner], "lora": {"rank": 2, "targets": [layer]}}
        (problem,) = problems(recipe(arms=["mentor-kd"], **{learner: adapted}))
        assert problem.startswith(f"{learner}: lora.targets: ")
        assert said in problem
    assert not problems(recipe(arms=["mentor-kd"], **{learner: {**RAW[learner], "lora": {"targets": ["q"]}}}))


def test_a_mentor_that_is_only_asked_itself_may_be_of_any_kind():
    """It lends the student nothing in that row."""
    wanted = {"mentor": {"model": "pocket/causal-nano", "samples": 2}}
    assert not problems(recipe(arms=["mentor"], **wanted))
    assert problems(recipe(arms=["mentor-kd"], **wanted))


def test_a_mentor_whose_labels_mean_nothing_is_found_before_it_is_trained(tiny_t5_folder: Path):
    """A day of training the mentor must not end with the sentence that its tokenizer is another one."""
    foreign = {"model": str(tiny_t5_folder)}
    (problem,) = problems(recipe(arms=["mentor-kd"], mentor=foreign))
    assert "different tokenizers" in problem
    (problem,) = problems(recipe(arms=["mentor-kd"], mentor={"model": "pocket/causal-nano"}))
    assert "different architectures" in problem
    rationales_alone = {"method": "mentor-kd", "set": {"soft_labels.weight": 0}}
    assert not problems(recipe(arms=[rationales_alone], mentor=foreign))


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("mentor-kd", "Mentor-KD"),
        ("mentor-kd samples=3", "Mentor-KD samples=3"),
        ("mentor-kd-like", "mentor-kd-like"),
        ("soft labels only", "soft labels only"),
    ],
)
def test_an_arm_is_called_as_people_call_its_method(name: str, title: str):
    """A table that mixes "Mentor-KD" with "mentor-kd samples=3" reads as two methods."""
    assert title_of(Arm(method="mentor-kd", name=name)) == title

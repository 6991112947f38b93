"""The grounded mentor: it reads passages, its rationales find their own, and its soft labels are for both."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from small_study import (
    FORMAT,
    corpus_of,
    planned,
    predictions_of,
    questions_of,
    raw,
    recipe,
    recorded_prompts,
    results_of,
    study_of,
    write_world,
)

from tutelage.errors import RecipeError
from tutelage.methods.finding import first_right, silver_passages
from tutelage.methods.knowledge import read_hits
from tutelage.methods.run import run
from tutelage.models import LanguageModel, load
from tutelage.rationales.diverse import example_id
from tutelage.recipe import Recipe, parse
from tutelage.recipe.overrides import override
from tutelage.report.report import make_report
from tutelage.report.run import read_run
from tutelage.retrieval.bm25 import Bm25
from tutelage.runs import Stage, read_json, read_jsonl
from tutelage.training.batching import tokenize
from tutelage.training.soft_labels import SoftLabels
from tutelage.types import Example, Question, rationale_from_json

ARMS = ["grounded-mentor", "grounded-mentor-alone"]
CHANGES: dict[str, Any] = {
    "teacher": {"samples": 1},
    "mentor": {"model": "pocket/nano", "samples": 4, "temperature": 1.0, "epochs": 16, "evaluate_every": 16},
    "knowledge": {"reranker": None},
    "soft_labels": {"weight": 0.5, "top_k": 4, "temperature": 1.0},
}


class Finished(NamedTuple):
    world: Path
    out: Path
    recipe: Recipe
    sampled: list[str]
    """Prompts that somebody was asked with for several samples."""

    @property
    def questions(self) -> dict[str, Question]:
        return questions_of(self.out)

    def stage(self, name: str, arm: str = "grounded-mentor", seed: int = 1) -> list[Stage]:
        return [s for s in planned(self.recipe, self.out, arm, seed).values() if s.name == name]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    world = write_world(tmp_path_factory.mktemp("grounded"))
    wanted = recipe(world, ARMS, **CHANGES)
    with recorded_prompts() as calls:
        run(wanted, "# text", world / "run", name="grounded")
    sampled = [prompt for call in calls if call.samples > 1 for prompt in call.prompts]
    return Finished(world, world / "run", wanted, sampled)


def test_the_mentor_learns_from_prompts_with_passages(finished: Finished):
    """A mentor that never saw a passage would write around it."""
    (mentor,) = finished.stage("mentor")
    (examples,) = [s for s in finished.stage("examples") if s.fingerprint == _inputs(mentor)["examples"]]
    passages = {p.text for p in corpus_of(finished.world).values()}
    for row in read_jsonl(examples.folder / "train.jsonl"):
        assert any(text in row["prompt"] for text in passages)


def test_the_mentor_writes_with_what_the_teachers_rationale_finds_before_it(finished: Finished):
    """Its sampling prompts are those it learnt from: the same passage, the same words."""
    (silver,) = [s for s in finished.stage("silver") if _inputs(s)["split"] == "train"]
    hits, texts, questions = read_hits(silver), corpus_of(finished.world), finished.questions
    train = [q for q in questions.values() if q.split == "train"]
    assert sorted(finished.sampled) == sorted(FORMAT.prompt(q, [texts[hits[q.id][0].passage_id]]) for q in train)
    (written,) = finished.stage("written")
    for row in read_jsonl(written.folder / "rationales.jsonl"):
        assert row["passage_ids"] == [hits[row["question_id"]][0].passage_id]


def test_each_rationale_of_the_mentor_finds_its_own_passage(finished: Finished):
    """It may say another thing than the teacher did, and its passage must hold what it says."""
    (augmented,) = finished.stage("augmented")
    kept = read_jsonl(augmented.folder / "kept.jsonl")
    assert kept, "this mentor has learnt enough to add something"
    (examples,) = [s for s in finished.stage("examples") if s.fingerprint == _inputs(_student(finished))["examples"]]
    (beside,) = [s for s in finished.stage("beside") if s.fingerprint == _inputs(examples)["beside"]]
    found, index = read_hits(beside), Bm25.open(finished.stage("index")[0].folder / "index")
    prompts = {row["id"]: row["prompt"] for row in read_jsonl(examples.folder / "train.jsonl")}
    for row in kept:
        id = example_id(rationale_from_json(row))
        assert [h.passage_id for h in found[id]] == [h.passage_id for h in index.search([row["text"]], 10)[0]]
        (passage,) = index.passages([found[id][0].passage_id])
        assert prompts[id] == FORMAT.prompt(finished.questions[row["question_id"]], [passage])
    assert {id.split("#")[1].split(":")[0] for id in prompts} == {"teacher", "mentor"}


def test_soft_labels_are_for_the_prompts_with_passages(finished: Finished):
    """The mentor's word on another prompt than the student's is no word on this one."""
    (labels,) = finished.stage("soft-labels")
    student = _inputs(_student(finished))
    assert _inputs(labels)["examples"] == student["examples"]
    assert student["soft"]["labels"] == labels.fingerprint
    (examples,) = [s for s in finished.stage("examples") if s.fingerprint == student["examples"]]
    row = read_jsonl(examples.folder / "train.jsonl")[0]
    mentor = load(str(finished.stage("mentor")[0].folder / "model"), device="cpu")
    stored = SoftLabels.open(labels.folder)
    [tokens], _ = tokenize(mentor, [Example(**row)], max_prompt_tokens=96, max_target_tokens=48)
    lent = stored.read([tokens])
    assert lent.ids is not None
    for prompt, same in ((row["prompt"], True), (finished.questions[row["id"].split("#")[0]].text, False)):
        log_p_TV = _log_p(mentor, prompt, row["target"])[:, : stored.width].log_softmax(-1)
        assert torch.allclose(log_p_TV.gather(1, lent.ids), lent.log_p[:, :-1], atol=0.02) == same


def _log_p(mentor: LanguageModel, prompt: str, target: str) -> torch.Tensor:
    mentor.model.eval()
    with torch.no_grad():
        ids, labels = torch.tensor([mentor.prompt_ids(prompt)]), torch.tensor([mentor.target_ids(target)])
        return mentor.model(input_ids=ids, labels=labels).logits[0]


def test_mentor_and_student_are_tested_beside_the_same_passages(finished: Finished):
    """A mentor that read better passages than its student would be no bound for it."""
    shown = [[(r["question_id"], r["hits"]) for r in predictions_of(finished.out, arm)] for arm in ARMS]
    assert shown[0] == shown[1]
    (asked,) = finished.stage("asked")
    best = {id: row[0].passage_id for id, row in read_hits(asked).items()}
    assert all(hits[0]["passage_id"] == best[id] for id, hits in shown[0]), "without a reranker BM25 finds them"
    arms = {arm["arm"]: arm["reference"] for arm in results_of(finished.out)["arms"]}
    assert arms == {"grounded-mentor": False, "grounded-mentor-alone": True}


def test_a_reranker_serves_where_the_recipe_has_one(finished: Finished, tmp_path: Path):
    with_one = recipe(finished.world, ARMS, **{k: v for k, v in CHANGES.items() if k != "knowledge"})
    for arm in ARMS:
        found = planned(with_one, tmp_path, arm).values()
        (score,) = [s for s in found if s.name == "score"]
        assert {"reranker", "reranked"} <= {s.name for s in found}
        assert score.fingerprint != finished.stage("score", arm)[0].fingerprint


def test_in_a_chain_every_mentor_reads_passages(finished: Finished, tmp_path: Path):
    """Large, medium, small: each learns from the one before it, with passages."""
    chain = {**CHANGES["mentor"], "mentor": {"model": "pocket/mini", "samples": 1}}
    wanted = recipe(finished.world, ["grounded-mentor"], **{**CHANGES, "mentor": chain})
    found = planned(wanted, tmp_path, "grounded-mentor").values()
    assert [s.name for s in found if s.name in ("mentor", "soft-labels", "student")] == [
        "mentor", "soft-labels", "mentor", "soft-labels", "student",
    ]  # fmt: skip
    assert sum(s.name == "beside" for s in found) == 3, "teacher; and one mentor; and two"


def test_a_student_of_a_mentor_is_not_kards_student(finished: Finished, tmp_path: Path):
    wanted = recipe(finished.world, ["kard-bm25", "grounded-mentor", "mentor-kd"], **CHANGES)
    students = {
        arm: {s.fingerprint for s in planned(wanted, tmp_path, arm).values() if s.name == "student"}
        for arm in ("kard-bm25", "grounded-mentor", "mentor-kd")
    }
    assert len(set.union(*students.values())) == 3


def test_where_the_teacher_wrote_nothing_the_mentor_reads_what_can_be_found_without(finished: Finished, tmp_path: Path):
    """With a scarce teacher those are nine questions in ten."""
    scarce = recipe(finished.world, ARMS, **{**CHANGES, "teacher": {"samples": 1, "share": 0.3}})
    study = study_of(scarce, tmp_path)
    silver = study.knowledge.silver("train")
    told = {row["question_id"] for row in read_jsonl(study.taught().folder / "kept.jsonl")}
    asked, found = read_hits(study.knowledge.asked()), read_hits(silver)
    without = [q.id for q in study.of("train") if q.id not in told]
    assert len(without) > 5
    assert found.keys() == {q.id for q in study.of("train")}
    assert all([h.passage_id for h in found[id]] == [h.passage_id for h in asked[id]][:10] for id in without)
    assert read_json(silver.folder / "silver.json")["by_question"] == len(without)


# --- a reranker that learns from the mentor too


@pytest.fixture(scope="module")
def mentored(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Two seeds of a study whose grounded mentor teaches a reranker."""
    world = write_world(tmp_path_factory.mktemp("mentored"))
    reranker = {**raw(world)["knowledge"]["reranker"], "mentor_epochs": 2}
    changes = {**CHANGES, "knowledge": {"reranker": reranker}}
    wanted = recipe(world, ["kard", "grounded-mentor"], seeds=[1, 2], **changes)
    run(wanted, "# text", world / "run", name="mentored")
    return Finished(world, world / "run", wanted, [])


def rerankers(mentored: Finished, arm: str, seed: int) -> tuple[Stage, Stage]:
    """The reranker that orders an arm's test passages, and the stage of what it orders."""
    job = planned(mentored.recipe, mentored.out, arm, seed)
    (ordered,) = [s for s in job.values() if s.name == "reranked" and _inputs(s)["split"] == "test"]
    (reranker,) = [s for s in job.values() if s.fingerprint == _inputs(ordered)["reranker"]]
    return reranker, ordered


@pytest.mark.parametrize("seed", [1, 2])
def test_a_mentored_reranker_learns_from_teacher_and_the_mentor_of_its_seed(mentored: Finished, seed: int):
    """What chance there is in mentor and reranker must show between seeds, as a student's does."""
    (taught,), (added,) = (mentored.stage(name, seed=seed) for name in ("rationales", "augmented"))
    plain, mine = rerankers(mentored, "kard", seed)[0], rerankers(mentored, "grounded-mentor", seed)[0]
    assert _inputs(plain)["rationales"] == [taught.fingerprint]
    assert _inputs(mine)["rationales"] == [taught.fingerprint, added.fingerprint]
    assert [_inputs(stage)["reranker"]["epochs"] for stage in (plain, mine)] == [1, 2]
    assert [_inputs(stage)["reranker"]["seed"] for stage in (plain, mine)] == [seed, seed]


def test_one_mentored_reranker_learns_from_the_mentor_of_the_first_seed(mentored: Finished):
    """A reranker of a fixed seed serves all students, so it can have but one mentor."""
    one = override(mentored.recipe.model_dump(mode="json"), {"knowledge.reranker.seed": 7})
    shared = mentored._replace(recipe=parse(one, where="test", complete=True))
    first, second = ({s.fingerprint for s in shared.stage("augmented", seed=seed)} for seed in (1, 2))
    assert len(first) == 1
    assert len(second) == 2
    assert first < second, "what the second student learns from, and what the reranker does"
    plain, mine = ({s.fingerprint for s in shared.stage("reranker", seed=seed)} for seed in (1, 2))
    assert plain == mine


def test_every_job_tells_what_was_trained_for_it(mentored: Finished):
    """By this a report knows which seeds are copies, and which share a part."""
    rows = {(row["arm"], row["seed"]): row for row in results_of(mentored.out)["arms"]}
    for seed in (1, 2):
        kard, ours = rows["kard", seed]["parts"], rows["grounded-mentor", seed]["parts"]
        reranker = rerankers(mentored, "kard", seed)[0].fingerprint[:12]
        assert (kard["reranker"], "mentor" in kard) == ([reranker], False)
        assert len(kard["student"]) == len(ours["student"]) == len(ours["mentor"]) == 1
        assert {reranker, rerankers(mentored, "grounded-mentor", seed)[0].fingerprint[:12]} == set(ours["reranker"])
        assert rows["kard", seed]["model"] == kard["student"][0]
    for arm in ("kard", "grounded-mentor"):
        first, second = ({print_ for found in rows[arm, seed]["parts"].values() for print_ in found} for seed in (1, 2))
        assert not first & second
    report = make_report(read_run(mentored.out))
    assert [arm.origin.shared for arm in report.arms] == [(), ()]
    assert report.comparisons[0].p is not None


def test_a_mentor_finds_its_passages_before_there_is_a_reranker_that_it_taught(mentored: Finished):
    """Else the reranker would need the mentor's texts, and the mentor what the reranker finds."""
    plain = rerankers(mentored, "kard", 1)[0]
    before = [s for s in mentored.stage("reranked") if _inputs(s)["split"] == "train"]
    assert before
    assert {_inputs(s)["reranker"] for s in before} == {plain.fingerprint}


def test_a_student_is_served_with_the_reranker_of_its_test(mentored: Finished):
    """KARD's reranker on the card would find other passages than those of the table."""
    for arm in ("kard", "grounded-mentor"):
        reranker, ordered = rerankers(mentored, arm, 1)
        student = mentored.out / "students" / f"{arm}-seed1"
        card = read_json(student / "tutelage.json")["knowledge"]
        assert (student / card["reranker"]).resolve() == (reranker.folder / "model").resolve()
        (scored,) = mentored.stage("score", arm)
        assert _inputs(scored)["beside"] == ordered.fingerprint


def test_both_rerankers_have_a_row_of_their_own(mentored: Finished):
    """One of them would stand for what the other found."""
    rows = {row["by"]: row for row in results_of(mentored.out)["retrieval"] if row["split"] == "dev"}
    right = silver_passages([*mentored.stage("beside", "kard"), *mentored.stage("beside")])
    for arm, by in (("kard", "reranker"), ("grounded-mentor", "mentored")):
        found: list[bool] = []
        for seed in (1, 2):
            fingerprint = rerankers(mentored, arm, seed)[0].fingerprint
            (ordered,) = [
                s for s in mentored.stage("reranked", arm, seed)
                if (_inputs(s)["split"], _inputs(s)["reranker"]) == ("dev", fingerprint)
            ]  # fmt: skip
            ranks = {id: first_right(hits, right[id]) for id, hits in read_hits(ordered).items() if id in right}
            assert rows[by]["n"] == len(ranks)
            found += [r is not None and r < 3 for r in ranks.values()]
        assert rows[by]["hits"]["3"]["value"] == pytest.approx(sum(found) / len(found)), "the mean over seeds"


def test_a_mentor_that_teaches_the_reranker_of_all_seeds_is_one_mentor(mentored: Finished):
    """Counted for every seed that it served, two mentors were three."""
    mentors = [source for source in results_of(mentored.out)["sources"] if source["role"] == "mentor"]
    assert [source["seeds"] for source in mentors] == [[1], [2]]


def test_other_arms_do_not_know_of_it(mentored: Finished):
    """A study that adds a mentored reranker keeps what it has of KARD."""
    raw_ = raw(mentored.world, ["kard"], **{**CHANGES, "knowledge": {}})
    without = parse({**raw_, "seeds": [1, 2]}, where="test")
    assert all(stage.cached for stage in planned(without, mentored.out, "kard").values())


def test_a_reranker_that_is_given_learns_from_nobody(tmp_path: Path):
    wanted = raw(tmp_path, knowledge={"reranker": {"path": "some/reranker", "mentor_epochs": 1}})
    with pytest.raises(RecipeError, match=r"mentor_epochs.*is taken as it is"):
        parse(wanted, where="test")


def _student(finished: Finished) -> Stage:
    (student,) = finished.stage("student")
    return student


def _inputs(stage: Stage) -> dict[str, Any]:
    return read_json(stage.folder / "stage.json")["inputs"]

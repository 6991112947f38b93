"""KARD as a study: what stands beside a question in training and at test, what is shared, how a student is served."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from small_study import (
    FORMAT,
    corpus_of,
    kinds,
    planned,
    predictions_of,
    questions_of,
    raw,
    recipe,
    recorded_prompts,
    results_of,
    stages,
    study_of,
    write_world,
)

from tutelage.cli import ask as ask_command
from tutelage.errors import ModelError
from tutelage.fitting import fit
from tutelage.methods.ask import ask
from tutelage.methods.lessons import Shown
from tutelage.methods.predicting import Asking
from tutelage.methods.run import run
from tutelage.methods.study import Study
from tutelage.models import load_tokenizer
from tutelage.recipe import Recipe
from tutelage.retrieval.late_interaction import LateInteraction
from tutelage.runs import Stage, read_json, read_jsonl, write_json, write_jsonl
from tutelage.types import Question

THREE = ["kard", "kard-bm25", "kard-oracle"]
SILVER = ("silver", "silver-hits")
RERANKING = ("reranked", "reranker", "search-space")
SMALL_RERANKER = raw(Path())["knowledge"]["reranker"]


class Finished(NamedTuple):
    """A run, and every prompt that any model was asked with."""

    world: Path
    out: Path
    recipe: Recipe
    prompts: list[str]

    @property
    def questions(self) -> dict[str, Question]:
        return questions_of(self.out)

    def stage(self, arm: str, name: str) -> list[Stage]:
        return [s for s in planned(self.recipe, self.out, arm).values() if s.name == name]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    world = write_world(tmp_path_factory.mktemp("kard"))
    wanted = recipe(world)
    with recorded_prompts() as calls:
        run(wanted, "# text", world / "run", name="kard")
    prompts = [prompt for call in calls for prompt in call.prompts]
    return Finished(world, world / "run", wanted, prompts)


# --- what is shared


def test_three_kinds_of_search_are_three_ways_to_ask_one_student(finished: Finished):
    """Students trained apart differ by luck, and the searches could not be compared."""
    students = {arm: {s.fingerprint for s in finished.stage(arm, "student")} for arm in THREE}
    assert len(set.union(*students.values())) == 1
    assert len(stages(finished.out, "student")) == 2, "with passages, and without"
    for name in ("index", "asked", "beside", "reranker"):
        assert len(stages(finished.out, name)) == 1, name
    assert len({s.fingerprint for arm in THREE for s in finished.stage(arm, "score")}) == 3


def test_two_seeds_share_what_is_searched_but_nothing_that_is_trained(finished: Finished):
    """A reranker that all seeds share is one draw: what it brings to the figures could not be told."""
    again = finished.recipe.model_copy(update={"seeds": [1, 2]})
    todo = {s.name for s in planned(again, finished.out, "kard", seed=2).values() if not s.cached}
    assert todo == {"reranker", "reranked", "silver", "student", "score"}


def test_one_reranker_serves_all_seeds_where_the_recipe_gives_it_a_seed(finished: Finished):
    """As published, or where rerankers are dear."""
    one = recipe(finished.world, THREE, knowledge={"reranker": {**SMALL_RERANKER, "seed": 1}})
    again = one.model_copy(update={"seeds": [1, 2]})
    todo = {s.name for s in planned(again, finished.out, "kard", seed=2).values() if not s.cached}
    assert todo == {"student", "score"}
    first, second = (
        {s.fingerprint for s in planned(again, finished.out, "kard", seed).values() if s.name == "reranker"}
        for seed in (1, 2)
    )
    assert first == second
    assert first == {s.fingerprint for s in finished.stage("kard", "reranker")}, "of seed 1, as the first student's own"


# --- what is learnt


def test_each_example_shows_the_passage_that_its_own_rationale_finds(finished: Finished):
    """Section 3.2 of the paper; the passage of another rationale may not hold what this one says."""
    (beside,), (examples,) = finished.stage("kard", "beside"), finished.stage("kard", "examples")
    hits = {row["of"]: row["hits"] for row in read_jsonl(beside.folder / "hits.jsonl")}
    texts, questions = corpus_of(finished.world), finished.questions
    rows = [row for split in ("train", "dev") for row in read_jsonl(examples.folder / f"{split}.jsonl")]
    assert {row["id"] for row in rows} == hits.keys()
    for row in rows:
        best = texts[hits[row["id"]][0][0]]
        assert row["prompt"] == FORMAT.prompt(questions[row["id"].split("#")[0]], [best])


def test_the_rationale_finds_what_the_question_does_not(finished: Finished):
    """Otherwise nothing here tests that it is the rationale that searched."""
    (beside,), (asked,) = finished.stage("kard", "beside"), finished.stage("kard-bm25", "asked")
    by_question = {row["of"]: row["hits"][0][0] for row in read_jsonl(asked.folder / "hits.jsonl")}
    by_rationale = {row["of"]: row["hits"][0][0] for row in read_jsonl(beside.folder / "hits.jsonl")}
    assert any(found != by_question[of.split("#")[0]] for of, found in by_rationale.items())


# --- what is asked


def test_at_test_every_arm_shows_what_its_own_search_finds_best(finished: Finished):
    """A student that is shown another arm's passages gives that arm's score."""
    found_by = {"kard": "reranked", "kard-bm25": "asked", "kard-oracle": "silver"}
    test = {id for id, question in finished.questions.items() if question.split == "test"}
    for arm, name in found_by.items():
        rows = [r for s in finished.stage(arm, name) for r in read_jsonl(s.folder / "hits.jsonl") if r["of"] in test]
        best = {row["of"]: row["hits"][0] for row in rows}
        assert best.keys() == test
        for row in predictions_of(finished.out, arm):
            (hit,) = row["hits"]
            assert [hit["passage_id"], hit["score"]] == best[row["question_id"]]
            assert all(written["passage_ids"] == [hit["passage_id"]] for written in row["rationales"])


def test_the_prompt_that_serves_is_the_prompt_that_trains(finished: Finished):
    """The published code joins and cuts passages differently at test, and asks in other words (K3 to K5)."""
    texts, questions = corpus_of(finished.world), finished.questions
    for arm in THREE:
        for row in predictions_of(finished.out, arm):
            passages = [texts[hit["passage_id"]] for hit in row["hits"]]
            assert FORMAT.prompt(questions[row["question_id"]], passages) in finished.prompts
    for row in predictions_of(finished.out, "reasoning-distillation"):
        assert row["hits"] == []
        assert questions[row["question_id"]].text in finished.prompts


@pytest.mark.parametrize("limit", [12, 25, 40, 70, 400])
def test_training_and_serving_cut_the_same_passages_at_the_same_word(finished: Finished, limit: int):
    """512 tokens in training and 2,048 at test are two prompts (K5)."""
    wanted = recipe(finished.world, student={"max_prompt_tokens": limit}, knowledge={"passages": 3})
    study = study_of(wanted, finished.out, planning=True)
    found = study.knowledge.asked()
    training = Shown(study, found, wanted.student)
    serving = Asking(study, load_tokenizer("pocket/nano"), wanted.student, ())
    for question in study.of("test"):
        passages = study.knowledge.passages(found, [question.id])[question.id]
        assert len(passages) == 3
        served = serving.fitted(question, passages)
        assert training.prompt(question, "another#id#0") == FORMAT.prompt(question, served)
        assert tuple(served) == fit(FORMAT, question, passages, length=serving._length, limit=limit).passages


def test_an_oracle_is_no_method_and_says_why(finished: Finished):
    """Its row is the highest of the table; whoever takes it for a result is deceived."""
    arms = {arm["arm"]: arm for arm in results_of(finished.out)["arms"]}
    assert arms["kard-oracle"]["reference"]
    assert "know the answer" in arms["kard-oracle"]["leaks"]
    assert not any(arms[arm]["reference"] or arms[arm]["leaks"] for arm in ("kard", "kard-bm25"))
    assert any(
        "KARD (oracle)" in warning and "upper bound" in warning for warning in results_of(finished.out)["warnings"]
    )


def test_an_oracle_that_was_told_nothing_says_so(finished: Finished):
    """A teacher's file often ends with the training split; an upper bound made of BM25 alone bounds nothing."""
    (silver,) = [
        s for s in finished.stage("kard-oracle", "silver") if s.fingerprint in _beside(finished, "kard-oracle")
    ]
    assert read_json(silver.folder / "silver.json") == {"found": 0, "by_question": 8}
    assert [w for w in results_of(finished.out)["warnings"] if w.startswith("KARD (oracle): for 8 of 8 test questions")]
    shown = [[row["hits"][0]["passage_id"] for row in predictions_of(finished.out, a)] for a in ("kard-oracle", "kard")]
    assert shown[0] == shown[1], "what the reranker finds, where nothing was written"


def _beside(finished: Finished, arm: str) -> set[str]:
    return {read_json(s.folder / "stage.json")["inputs"]["beside"] for s in finished.stage(arm, "score")}


def test_votes_each_have_their_rationale_beside_the_passages(finished: Finished, tmp_path: Path):
    """The published code kept no record of what stood beside a question (K25)."""
    shutil.copytree(finished.out, tmp_path / "run", symlinks=True)
    voted = recipe(finished.world, ["kard-bm25"], score={"votes": 3, "temperature": 1.0})
    run(voted, "# text", tmp_path / "run", name="kard")
    for row in predictions_of(tmp_path / "run", "kard-bm25"):
        assert len(row["rationales"]) == 3
        assert [hit["rank"] for hit in row["hits"]] == [0]
        assert row["hits"][0]["score"] > 0


# --- a second run


def test_a_second_run_makes_nothing(finished: Finished):
    before = {path: path.stat().st_mtime_ns for path in finished.out.glob("stages/**/*") if path.is_file()}
    run(finished.recipe, "# text", finished.out, name="kard")
    assert {path: path.stat().st_mtime_ns for path in finished.out.glob("stages/**/*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("changed", "redone"),
    [
        ({"k1": 1.2}, {"asked", "beside", "examples", *RERANKING, "score", *SILVER, "student"}),
        ({"b": 0.7}, {"asked", "beside", "examples", *RERANKING, "score", *SILVER, "student"}),
        ({"passages": 2}, {"examples", "score", "student"}),
        ({"per": "question"}, {"beside", "examples", "score", "student"}),
        ({"query": "question"}, {"asked", *RERANKING, "score", "silver", "student"}),
        ({"words": 50}, {"index", "asked", "beside", "examples", *RERANKING, "score", *SILVER, "student"}),
        ({"reranker": {**SMALL_RERANKER, "epochs": 2}}, {"reranked", "reranker", "score", "silver", "student"}),
        ({"reranker": {**SMALL_RERANKER, "searched": 5}}, {*RERANKING, "score", "silver", "student"}),
        ({}, set()),
    ],
)
def test_a_changed_search_makes_anew_what_depends_on_it_and_nothing_else(
    finished: Finished, changed: dict[str, Any], redone: set[str]
):
    """Too little is a wrong number in the table, too much a night of indexing again."""
    assert kinds(recipe(finished.world, knowledge=changed), finished.out, "kard") == redone
    assert not kinds(recipe(finished.world, knowledge=changed), finished.out, "reasoning-distillation")


# --- how a student is served


def test_who_asks_a_student_finds_the_vectors_of_its_study(finished: Finished, monkeypatch: pytest.MonkeyPatch):
    """Encoding the candidates of one question takes longer than all the rest of its answer."""
    encoded: list[int] = []
    encode = LateInteraction.encode_passages

    def noting(self: LateInteraction, texts: Sequence[str]) -> Any:
        encoded.append(len(texts))
        return encode(self, texts)

    monkeypatch.setattr(LateInteraction, "encode_passages", noting)
    (row, *_) = predictions_of(finished.out, "kard")
    student = finished.out / "students" / "kard-seed1"
    kept = ask(student, finished.questions[row["question_id"]].text)
    assert not encoded
    (folder,) = (finished.out / "vectors").iterdir()
    folder.rename(folder.with_name("elsewhere"))
    try:
        anew = ask(student, finished.questions[row["question_id"]].text)
    finally:
        folder.with_name("elsewhere").rename(folder)
    assert sum(encoded) > 0, "they are no part of what a student needs"
    assert anew == kept


@pytest.mark.parametrize("arm", [*THREE[:2], "reasoning-distillation"])
def test_a_student_is_asked_as_it_was_tested(finished: Finished, arm: str):
    """A page that shows other passages than the test shows another student than the table.

    One text in four may differ: asked alone, rounding may turn a token nearly as likely as the one written at the test.
    """
    same = 0
    for row in predictions_of(finished.out, arm)[:4]:
        reply = ask(finished.out / "students" / f"{arm}-seed1", finished.questions[row["question_id"]].text)
        assert [p.id for p in reply.passages] == [hit["passage_id"] for hit in row["hits"]]
        same += (reply.rationale, reply.answer) == (row["rationales"][0]["text"], row["answer"])
    assert same >= 3


def test_an_oracles_student_is_served_with_what_can_be_had_without_the_answer(finished: Finished):
    """Nobody who asks has a rationale that knows the answer; and it is the same student as KARD's."""
    cards = {arm: read_json(finished.out / "students" / f"{arm}-seed1" / "tutelage.json")["knowledge"] for arm in THREE}
    assert cards["kard-oracle"] == cards["kard"]
    assert cards["kard"]["candidates"] == 8
    assert "reranker" not in cards["kard-bm25"]


def test_a_student_with_passages_is_still_an_ordinary_hugging_face_folder(finished: Finished):
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    folder = finished.out / "students" / "kard-seed1"
    AutoModelForSeq2SeqLM.from_pretrained(folder)
    AutoTokenizer.from_pretrained(folder)
    sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path.name != "tutelage.json"}
    (student,) = finished.stage("kard", "student")
    assert sizes == {
        p.name: p.stat().st_size for p in (student.folder / "model").iterdir() if p.name != "tutelage.json"
    }


def test_a_run_that_is_moved_as_a_whole_still_finds_its_passages(finished: Finished, tmp_path: Path):
    """Runs are copied from a server to a laptop."""
    shutil.copytree(finished.out, tmp_path / "moved", symlinks=True)
    question = next(iter(finished.questions.values())).text
    here, there = (ask(out / "students" / "kard-seed1", question) for out in (finished.out, tmp_path / "moved"))
    assert here == there
    shutil.copytree(finished.out / "students" / "kard-seed1", tmp_path / "alone")
    with pytest.raises(ModelError, match="A student stays in the folder of its run"):
        ask(tmp_path / "alone", question)


def test_the_command_line_tells_the_passages_below_the_answer(finished: Finished, capsys: pytest.CaptureFixture[str]):
    """An answer out of a book that nobody may look into convinces nobody."""
    row = predictions_of(finished.out, "kard")[0]
    ask_command(finished.out / "students" / "kard-seed1", finished.questions[row["question_id"]].text, None, False)
    passage = corpus_of(finished.world)[row["hits"][0]["passage_id"]]
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"          {passage.title}. {passage.text}"
    assert lines[-2] == f"passage   [{passage.id}]"
    assert lines[-3].startswith("answer    ")


# --- the gate


def trained(study: Study, name: str) -> Stage:
    """A stage as training leaves it, with an empty model."""

    def make(folder: Path) -> None:
        (folder / "model").mkdir()
        write_json(folder / "model" / "config.json", {"of": name})
        write_jsonl(folder / "history.jsonl", [{"of": name}])
        write_json(folder / "training.json", {"of": name})

    return study.workspace.stage(name, {}, make)


@pytest.mark.parametrize(("shown", "without", "opens"), [(0.5, 0.4, True), (0.4, 0.4, False), (0.3, 0.4, False)])
def test_a_gate_takes_the_student_that_dev_prefers_and_in_doubt_the_plain_one(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: float, without: float, opens: bool
):
    """BM25's passages made OpenbookQA worse than none (KARD, Table 2)."""
    monkeypatch.setattr("tutelage.methods.study.load", lambda study, stage: stage)
    monkeypatch.setattr(Study, "_accuracy", lambda study, model, settings, beside: shown if beside else without)
    study = study_of(recipe(finished.world), tmp_path)
    chosen = study.gate(trained(study, "with"), beside=trained(study, "found"), plain=trained(study, "plain"))
    said: dict[str, Any] = read_json(chosen.folder / "gate.json")
    assert said["seconds"] == sum(trained(study, name).seconds for name in ("with", "plain"))
    assert {key: said[key] for key in said if key != "seconds"} == {"with": shown, "without": without, "open": opens}
    name = "with" if opens else "plain"
    for file in ("model/config.json", "training.json"):
        assert read_json(chosen.folder / file) == {"of": name}
    again = study_of(recipe(finished.world), tmp_path).gate(
        trained(study, "with"), beside=trained(study, "found"), plain=trained(study, "plain")
    )
    assert again.cached


UNGATED = {
    "kard-bm25": "reasoning-distillation",
    "rag": "reasoning-distillation",
    "knowledge-fine-tuning": "fine-tuning",
}
"""Arms with a gate, and whose student answers where it is closed."""


@pytest.fixture(scope="module")
def misled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gated study whose passages help nobody: with them, no dev question is answered.

    Left to five dev questions and a student of one epoch, luck would open a gate now and then.
    """
    accuracy = Study._accuracy
    world = write_world(tmp_path_factory.mktemp("gate"))
    wanted = recipe(world, [*UNGATED, *dict.fromkeys(UNGATED.values())], knowledge={"gate": True, "reranker": None})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Study, "_accuracy", lambda *given: 0.0 if given[-1] else accuracy(*given))
        run(wanted, "# text", world / "run", name="gate")
    return world / "run"


@pytest.mark.parametrize("arm", ["kard-bm25", "rag", "knowledge-fine-tuning"])
def test_behind_a_closed_gate_no_passage_is_shown(misled: Path, arm: str):
    """The student that was chosen never saw one."""
    gates = results_of(misled)["gates"]
    assert [(gate["arm"], gate["open"], gate["n"]) for gate in gates] == [(arm, False, 5) for arm in UNGATED]
    plain, gated = (predictions_of(misled, name) for name in (UNGATED[arm], arm))

    def said(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
        return [(row["question_id"], row["rationales"][0]["text"]) for row in rows]

    assert said(gated) == said(plain)
    assert not any(row["hits"] for row in gated)


def test_behind_the_gate_of_a_grounded_mentor_stands_the_student_of_mentor_kd(finished: Finished, tmp_path: Path):
    """One of reasoning distillation would give away what the mentor added."""
    wanted = recipe(
        finished.world,
        ["mentor-kd", "grounded-mentor"],
        mentor={"model": "pocket/nano", "samples": 2},
        knowledge={"gate": True},
    )
    gated, mentored = (planned(wanted, tmp_path, arm).values() for arm in ("grounded-mentor", "mentor-kd"))
    (plain,) = [stage for stage in mentored if stage.name == "student"]
    assert plain.fingerprint in {stage.fingerprint for stage in gated}
    assert [stage.name for stage in gated].count("gate") == 1


def test_a_gate_before_one_student_asks_it_twice_and_counts_it_once(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The student of RAG is that of reasoning distillation, shown passages or not."""
    monkeypatch.setattr("tutelage.methods.study.load", lambda study, stage: stage)
    monkeypatch.setattr(Study, "_accuracy", lambda study, model, settings, beside: 0.2 if beside else 0.6)
    study = study_of(recipe(finished.world), tmp_path)
    student = trained(study, "student")
    said = read_json(study.gate(student, beside=trained(study, "found"), plain=student).folder / "gate.json")
    assert (said["open"], said["seconds"]) == (False, student.seconds)


def test_a_student_behind_a_closed_gate_is_served_without_passages(misled: Path):
    assert "knowledge" not in read_json(misled / "students" / "kard-bm25-seed1" / "tutelage.json")
    assert ask(misled / "students" / "kard-bm25-seed1", "How high is Mount Orrick?").passages == ()

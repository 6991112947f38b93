"""Few-shot arms: what an untaught model is shown, what it is never shown, and how far it is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from small_study import FORMAT, corpus_of, kinds, planned, predictions_of, recipe, results_of, stages, write_world

from tutelage.generation.generator import Written
from tutelage.generation.local import LocalGenerator
from tutelage.methods.ask import ask
from tutelage.methods.run import run
from tutelage.models import load_tokenizer
from tutelage.recipe import Recipe
from tutelage.runs import read_jsonl
from tutelage.types import Passage, Question, question_from_json

ARMS = ["few-shot", "few-shot-cot", "knowledge-few-shot-cot"]
ROOM = {"student": {"max_prompt_tokens": 220}, "few_shot": {"shots": 3}}
RAMBLING = "It is said. --> {answer}\nWhich other is high? It is 99. --> 99"


class Finished(NamedTuple):
    world: Path
    out: Path
    recipe: Recipe
    prompts: dict[str, list[str]]
    """What was asked, by arm."""

    @property
    def questions(self) -> dict[str, Question]:
        (folder,) = stages(self.out, "questions")
        return {row["id"]: question_from_json(row) for row in read_jsonl(folder / "questions.jsonl")}

    def shots(self, arm: str) -> list[dict[str, Any]]:
        (stage,) = [s for s in planned(self.recipe, self.out, arm).values() if s.name == "shots"]
        return read_jsonl(stage.folder / "shots.jsonl")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run whose model writes the answer of the question it is asked and goes on with one it made up."""
    world = write_world(tmp_path_factory.mktemp("few"))
    wanted = recipe(world, ARMS, knowledge={"reranker": None}, **ROOM)
    asked: dict[str, list[str]] = {arm: [] for arm in ARMS}
    answers = {r["question"]: r["answer"] for name in ("rows", "test") for r in read_jsonl(world / f"{name}.jsonl")}

    def write(self: LocalGenerator, prompts: Sequence[str], *, on_done: Any, **settings: Any) -> list[list[Written]]:
        asked[arm_at_work[-1]].extend(prompts)
        last = [next(q for q in answers if prompt.endswith(q)) for prompt in prompts]
        texts = [[Written(RAMBLING.format(answer=answers[q]), 9, False)] for q in last]
        on_done(dict(enumerate(texts)))
        return texts

    arm_at_work: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalGenerator, "write", write)
        run(
            wanted, "# text", world / "run", name="few",
            watch=lambda event: arm_at_work.append(event.job.partition(",")[0]),
        )  # fmt: skip
    return Finished(world, world / "run", wanted, asked)


def test_nothing_is_trained(finished: Finished):
    assert not stages(finished.out, "student")
    assert len(stages(finished.out, "untrained")) == 1
    for arm in results_of(finished.out)["arms"]:
        assert arm["reference"]
        assert arm["training"]["steps"] == 0


def test_shots_are_training_questions_with_their_answers_and_nobody_elses(finished: Finished):
    """A gold answer of the test split in the prompt is the test given away."""
    held_out = {q.text: q.answer for q in finished.questions.values() if q.split != "train"}
    for arm in ARMS:
        assert {row["question"]["split"] for row in finished.shots(arm)} == {"train"}
        assert len(finished.prompts[arm]) == 8
        for prompt in finished.prompts[arm]:
            (mine,) = [text for text in held_out if text in prompt]
            assert prompt.endswith(mine), "the question that is asked is the only one held out, and has no answer"


def test_each_kind_of_prompt_shows_what_its_row_says(finished: Finished):
    """Answers alone, rationales, rationales with passages: three rows of KARD's tables, in this order."""
    questions, texts = finished.questions, corpus_of(finished.world)
    bare, reasoned, grounded = (finished.shots(arm) for arm in ARMS)
    assert not any(row["rationale"] or row["passages"] for row in bare)
    assert all(row["rationale"] and not row["passages"] for row in reasoned)
    assert all(row["rationale"] and len(row["passages"]) == 1 for row in grounded)
    for row in predictions_of(finished.out, "knowledge-few-shot-cot"):
        (hit,) = row["hits"]
        ending = FORMAT.prompt(questions[row["question_id"]], [texts[hit["passage_id"]]])
        assert [prompt for prompt in finished.prompts["knowledge-few-shot-cot"] if prompt.endswith(ending)]
    first = reasoned[-1]
    solved = f"{first['question']['text']} {first['rationale']} --> {first['question']['answer']}"
    assert all(solved in prompt for prompt in finished.prompts["few-shot-cot"])


def test_a_model_that_was_not_taught_to_stop_is_read_up_to_its_first_answer(finished: Finished):
    """Its last answer is that of a question which it made up."""
    for row in predictions_of(finished.out, "few-shot-cot"):
        assert row["answer"] == finished.questions[row["question_id"]].answer
        assert row["rationales"][0]["text"] == "It is said."


@pytest.mark.parametrize("arm", ARMS)
def test_asked_later_a_model_is_shown_what_it_was_shown_at_its_test(
    finished: Finished, monkeypatch: pytest.MonkeyPatch, arm: str
):
    """Asked without its solved questions it would write nothing that can be read."""
    asked: list[str] = []

    def write(self: LocalGenerator, prompts: Sequence[str], *, on_done: Any, **settings: Any) -> list[list[Written]]:
        asked.extend(prompts)
        texts = [[Written(RAMBLING.format(answer="7"), 9, False)]]
        on_done({0: texts[0]})
        return texts

    monkeypatch.setattr(LocalGenerator, "write", write)
    question = finished.questions[predictions_of(finished.out, arm)[0]["question_id"]]
    reply = ask(finished.out / "students" / f"{arm}-seed1", question.text, question.choices)
    assert asked[0] in finished.prompts[arm]
    assert (reply.rationale, reply.answer) == ("It is said.", "7")


def test_prompts_have_as_many_whole_shots_as_there_is_room_for(finished: Finished):
    """Cut by tokens at the front a prompt begins in the middle of somebody's rationale."""
    reader = load_tokenizer("pocket/nano")
    starts = {row["question"]["text"] for arm in ARMS for row in finished.shots(arm)}
    starts |= {FORMAT.prompt(question_from_json(r["question"]), [_passage(r)]) for r in finished.shots(ARMS[2])}
    for arm in ARMS:
        for prompt in finished.prompts[arm]:
            assert len(reader.prompt_ids(prompt)) <= 220
            assert any(prompt.startswith(start) for start in starts)


def _passage(row: dict[str, Any]) -> Passage:
    return Passage(**row["passages"][0])


@pytest.mark.parametrize(
    ("changed", "redone"),
    [
        ({"few_shot": {"shots": 2}}, {"shots", "score"}),
        ({"few_shot": {"seed": 1}}, {"shots", "score"}),
        ({"score": {"votes": 3}}, {"score"}),
        ({"knowledge": {"passages": 2}}, {"shots", "score"}),
        ({"student": {"epochs": 9}}, set()),
    ],
)
def test_what_decides_a_prompt_asks_again(finished: Finished, changed: dict[str, Any], redone: set[str]):
    whole = {**ROOM, "knowledge": {"reranker": None}}
    merged = {key: {**whole.get(key, {}), **changed.get(key, {})} for key in {*whole, *changed}}
    assert kinds(recipe(finished.world, ARMS, **merged), finished.out, "knowledge-few-shot-cot") == redone


@pytest.mark.parametrize(
    "changed",
    [{"format": "answer-line"}, {"student": {"max_prompt_tokens": 100}}, {"student": {"max_target_tokens": 20}}],
)
def test_another_format_or_limit_asks_again(finished: Finished, changed: dict[str, Any]):
    """The score of one prompt would stand in the table of another."""
    merged = {**ROOM, "knowledge": {"reranker": None}, **changed}
    merged["student"] = {**ROOM["student"], **changed.get("student", {})}
    assert "score" in kinds(recipe(finished.world, ARMS, **merged), finished.out, "few-shot-cot")

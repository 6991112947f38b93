"""Studies in the words of the papers' code: what is learnt, asked and served, by T5 and by a decoder-only student."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from small_study import corpus_of, predictions_of, questions_of, recipe, recorded_prompts, stages, write_world

from tutelage.formats import Reading, get_format
from tutelage.methods.ask import ask
from tutelage.methods.run import run
from tutelage.runs import read_jsonl
from tutelage.types import Question

KARD = get_format("kard-published")
MODELS = {"t5": "pocket/nano", "gpt": "pocket/causal-nano"}
ROOM = {"max_prompt_tokens": 400, "max_target_tokens": 48}


class Finished(NamedTuple):
    kind: str
    world: Path
    out: Path
    prompts: list[str]

    @property
    def questions(self) -> dict[str, Question]:
        return questions_of(self.out)


@pytest.fixture(scope="module", params=MODELS)
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    world = write_world(tmp_path_factory.mktemp("published"))
    wanted = recipe(
        world,
        ["kard-bm25", "knowledge-few-shot-cot"],
        format="kard-published",
        knowledge={"reranker": None, "passages": 2},
        student={"model": MODELS[request.param], **ROOM},
        few_shot={"shots": 1},
    )
    with recorded_prompts() as calls:
        run(wanted, "# text", world / "run", name="published")
    prompts = [prompt for call in calls for prompt in call.prompts]
    return Finished(request.param, world, world / "run", prompts)


def test_a_student_learns_and_is_asked_with_knowledge_behind_the_question(finished: Finished):
    """Its order is what the format is for: a prompt built elsewhere would have the passages in front."""
    (examples,) = stages(finished.out, "examples")
    questions, texts = finished.questions, corpus_of(finished.world)
    for row in read_jsonl(examples / "train.jsonl"):
        question = questions[row["id"].split("#")[0]]
        start = f"{KARD.with_passages}\nQuestion: {question.text}\nKnowledge: "
        assert row["prompt"].startswith(start)
        assert row["prompt"].endswith("\nExplanation:")
        assert KARD.read(row["target"]) == Reading(row["target"].rpartition("\nAnswer:")[0], question.answer)
    for row in predictions_of(finished.out, "kard-bm25"):
        passages = [texts[hit["passage_id"]] for hit in row["hits"]]
        assert len(passages) == 2
        assert KARD.prompt(questions[row["question_id"]], passages) in finished.prompts


def test_an_untaught_student_sees_the_instruction_once(finished: Finished):
    """On one line for T5, which has no newline; on lines of their own for a decoder-only model."""
    shown = [prompt for prompt in finished.prompts if prompt.count("Question: ") == 2]
    assert len(shown) == 8, "one for each test question"
    for prompt in shown:
        assert prompt.startswith(KARD.with_passages or "?")
        assert prompt.count("The following are") == 1
        assert prompt.endswith("Explanation:")
    assert {"\n" in prompt for prompt in shown} == {finished.kind == "gpt"}


def test_who_asks_the_student_asks_in_the_words_it_learnt(finished: Finished):
    """A folder that is passed on has nothing but its card to go by."""
    question = next(q for q in finished.questions.values() if q.split == "test")
    with recorded_prompts() as calls:
        reply = ask(finished.out / "students" / "kard-bm25-seed1", question.text)
    assert [prompt for call in calls for prompt in call.prompts] == [KARD.prompt(question, reply.passages)]
    assert len(reply.passages) == 2

"""What a reasoning model thinks before its answer, in every tag that one is known to use."""

# ruff: noqa: E501 - tables of tags read best as rows

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from asked_study import solve, study
from hypothesis import given
from hypothesis import strategies as st
from peer import FakeModel
from pydantic import ValidationError

from tutelage.annotation.thoughts import marks_note, solution_in, strange_mark, without_thinking
from tutelage.methods.annotating import asked_questions, write
from tutelage.methods.asked_teachers import Desk
from tutelage.methods.sources import annotate
from tutelage.recipe import TaskSection, TeacherSection
from tutelage.runs import write_jsonl
from tutelage.types import Question

SAID = "Ann has 3. 3 + 4 = 7.\nAnswer: 7"

TAGS = [
    *(("<think>", "</think>"), ("<THINK>", "</THINK>"), ("<thinking>", "</thinking>"), ("<Thought>\n", "\n</Thought>")),
    *(("<thoughts>", "</thoughts>"), ("<reasoning>", "</reasoning>"), ("<reflection>", "</reflection>")),
    *(("<think >", "</ think>"), ('<thinking effort="low">', "</thinking>"), ("<seed:think>", "</seed:think>")),
    *(("<mm:think>", "</mm:think>"), ("[THINK]", "[/THINK]"), ("◁think▷", "◁/think▷"), ("<|thinking|>", "<|/thinking|>")),
    *(("<|thinking|>", "</|thinking|>"), ("<|begin_of_thought|>", "<|end_of_thought|>"), ("<unused94>thought\n", "<unused95>")),
    *(("<|START_THINKING|>", "<|END_THINKING|>"), ("<|inner_prefix|>", "<|inner_suffix|>")),
    *(("<|channel>thought\n", "<channel|>"), ("<scratchpad>", "</scratchpad>"), ("<inner_monologue>", "</inner_monologue>")),
]  # fmt: skip


@pytest.mark.parametrize(("opening", "closing"), TAGS)
def test_a_thought_is_not_what_was_said(opening: str, closing: str):
    """Thinking aloud is ten times as long, and goes wrong before it goes right."""
    thought = "Hm, 12? Answer: 12\n\nNo. Wait"
    assert solution_in(f"{opening}{thought}{closing}\n\n{SAID}") == SAID
    assert solution_in(f"\n{opening}{closing}{SAID}\n") == SAID
    assert solution_in(f"{opening}{thought}{closing}and{opening}more{closing}{SAID}") == SAID
    assert solution_in(f"{opening}the tags {opening} and {closing} are mine. Hm{closing}\n{SAID}") == SAID
    assert solution_in(f"{thought}{closing}\n{SAID}") == SAID, "the opening tag stands in the prompt of many models"
    assert solution_in(f"{opening}{thought}{SAID}") is None
    assert solution_in(f"{opening}{thought}{closing}b\n{opening}{SAID}") is None
    assert without_thinking(f"{opening}{SAID}") == ""


THOUGHT = "<|channel|>analysis<|message|>Hm, 12?"


@pytest.mark.parametrize(
    "text",
    [
        f"{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>{SAID}",
        f"{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>{SAID}<|return|>",
        f"{THOUGHT}<|end|><|start|>assistant<|channel|>final <|constrain|>text<|message|>{SAID}<|end|>",
        f"{THOUGHT}<|end|><|start|>assistant<|channel|>commentary<|message|>x<|call|>{THOUGHT}<|end|>"
        f"<|start|>assistant<|channel|>final<|message|>{SAID}",
        f"<|channel|>final<|message|>{SAID}",
        f"analysisWe add 3 and 4.assistantfinal{SAID}",
        f"Here is my thought process:\n\nHm, 12?\n\nHere is my response:\n\n{SAID}",
        f"Here's my thought process: Hm. Here's my response: {SAID}",
        f"<think>Hm</think>\n<response>\n{SAID}\n</response>",
        f"<Thought>Hm</Thought>\n<Output>\n{SAID}\n</Output>",
        f"<|START_THINKING|>Hm<|END_THINKING|><|START_RESPONSE|>{SAID}<|END_RESPONSE|>",
        f"<|begin_of_thought|>Hm<|end_of_thought|>\n\n<|begin_of_solution|>\n{SAID}\n<|end_of_solution|>",
        *(f"{SAID}{end}" for end in ("<|im_end|>", "</s>", "<|eot_id|>", "<end_of_turn>\n", "<｜end▁of▁sentence｜>")),
        SAID,
    ],
)
def test_channels_wrappers_and_marks_of_the_end_go(text: str):
    """What a chat template puts around an answer is none of it."""
    assert solution_in(text) == SAID


@pytest.mark.parametrize(
    "text",
    [
        f"{THOUGHT} So {SAID}",
        f"{THOUGHT}<|end|><|start|>assistant<|channel|>commentary<|message|>{SAID}",
        f"analysisWe add 3 and 4. {SAID}",
        f"Here is my thought process: Hm. {SAID}",
    ],
)
def test_a_thought_without_an_end_says_nothing(text: str):
    """Its model was cut before it answered, whatever the server says."""
    assert solution_in(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "If 3 < b and b > c, then [A] holds.",
        "Analysis of the problem: 3 + 4 = 7.",
        "analysis: 3 + 4",
        "I think so. The reasoning is short.",
        "[Reasoning]\n3 + 4 = 7.",
        "He thought: 7.\nHere is my response: 7",
        "5 < 7 </ 8",
    ],
)
def test_what_holds_no_thought_stays_as_it_is(text: str):
    """A rationale may speak of thinking, and of things that look like tags."""
    assert solution_in(text) == text


@given(st.text(st.sampled_from(list("<|>[]/think◁▷ \n=")) | st.characters(), max_size=60))
def test_no_text_breaks_the_reader_and_no_known_tag_stays(text: str):
    said = solution_in(text)
    assert said is None or not re.search(r"</\s*think\s*>|◁/think▷|\[/think\]", said, re.IGNORECASE)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "loop", ["<think>", "</think>", "\n", " ", "<|channel|>", "[THINK", "</s>", "<", "analysis", "◁", "<a "]
)
def test_a_text_that_loops_is_read_in_no_time(loop: str):  # fmt: skip
    """A model that is cut in a loop writes one tag a thousand times."""
    began = time.process_time()
    solution_in(loop * (100_000 // len(loop)) + "x")
    assert time.process_time() - began < 5


def test_tags_of_the_users_own_are_thoughts_too():
    """The next model has another tag."""
    tags = [("<<plan>>", "<</plan>>"), ("Plan:", "Solution:")]
    assert solution_in(f"<<PLAN>>Hm<</plan>>{SAID}", tags) == SAID
    assert solution_in(f"Plan: Hm\nSolution: {SAID}", tags) == SAID
    assert solution_in("<<plan>>Hm", tags) is None
    assert solution_in(f"<think>Hm</think>{SAID}", tags) == SAID


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("<plan>Hm</plan> 7", "<plan>"),
        ("[PLAN]Hm", "[PLAN]"),
        ("3 + 4 <|tool|> 7", "<|tool|>"),
        ("3 + 4 ◁tool▷ 7", "◁tool▷"),
        ("7<|python_tag|>", "<|python_tag|>"),
        ("If 3 < b and b > c: [A]", None),
        ("3 + 4 = 7", None),
    ],
)
def test_marks_that_no_rule_took_away_are_seen(text: str, mark: str | None):
    assert strange_mark(text) == mark


def test_a_warning_wants_many():
    """One text in twenty may speak of HTML."""
    assert marks_note("m", ["plain"] * 19 + ["<b>7</b>"], many=0.1) is None
    told = marks_note("m", ["plain"] * 7 + ["<plan>7"] * 2 + ["<b>7"], many=0.1)
    assert told is not None
    assert told.startswith("m: 3 of 10 texts start with a tag or hold a special token, mostly '<plan>'.")


# --- through a recipe


def desk(of: Any) -> Desk:
    return Desk(of.workspace.folder, of.task.answer_type.name)


def asked(tmp_path: Path, around: str, reason: str = "stop", **teacher: Any) -> Any:
    """What comes of a teacher that thinks; `around` has the places {thought} and {said}."""

    def say(prompt: str, number: int) -> tuple[str, str]:
        return around.format(thought="Maybe 99. Answer: 99", said=solve(prompt, number)), reason

    tmp_path.mkdir(exist_ok=True)
    with FakeModel(say) as model:
        of = study(tmp_path, model.url, samples=1, **teacher)
        return write(of, desk(of))


def counts(found: Any) -> dict[str, int]:
    return {name: count for name, count in found.counts.items() if count}


def test_a_teachers_thoughts_are_not_taught(tmp_path: Path):
    """They were, for every tag but one."""
    plain = asked(tmp_path / "plain", "{said}")
    for number, (opening, closing) in enumerate(TAGS):
        found = asked(tmp_path / str(number), f"{opening}{{thought}}{closing}\n{{said}}")
        assert [r.text for r in found.kept.rationales] == [r.text for r in plain.kept.rationales]
        assert found.counts == plain.counts
        assert found.written.notes == []


def test_unfinished_thoughts_are_counted_and_told_of(tmp_path: Path):
    """A wrong `empty` sends its user looking at the wrong end."""
    found = asked(tmp_path, "[THINK]{thought}\n{said}", max_tokens=77)
    assert counts(found) == {"unfinished thought": 9}
    assert "9 end in the middle of a thought" in found.written.notes[0]
    assert "teacher.max_tokens` (77)" in found.written.notes[0]


def test_an_unknown_tag_is_warned_of_and_can_be_named(tmp_path: Path):
    """With the key that names it."""
    around = "<plan>{thought}</plan>\n{said}"
    told = asked(tmp_path / "a", around).written.notes
    assert "9 of 9 texts start with a tag" in told[0]
    assert "`teacher.reasoning_tags: [OPENING, CLOSING]`" in told[0]
    named = asked(tmp_path / "b", around, reasoning_tags=["<plan>", "</plan>"])
    assert named.written.notes == []
    assert all("99" not in r.text for r in named.judged)
    assert asked(tmp_path / "c", around, reasoning_tags=[["(", ")"], ["<plan>", "</plan>"]]).counts == named.counts


@pytest.mark.parametrize(
    "tags", [["<plan>"], ["<plan>", ""], ["a", "a"], ["a", "b", "c"], [["a", "b"], ["c"]], "<plan>"]
)
def test_what_is_no_pair_of_tags_is_refused(tags: Any):
    with pytest.raises(ValidationError, match="reasoning_tags"):
        TeacherSection.model_validate({"backend": "openai", "model": "m", "reasoning_tags": tags})


def test_new_tags_are_another_stage_and_the_same_requests(tmp_path: Path):
    """Texts that were paid for are read anew, not asked for anew."""
    from tutelage.recipe import told

    plain = TeacherSection.model_validate({"backend": "openai", "model": "m"})
    tagged = plain.model_copy(update={"reasoning_tags": ["<plan>", "</plan>"]})
    assert told(plain) != told(tagged)
    assert "reasoning_tags" not in told(plain)
    asked(tmp_path, "<plan>{thought}</plan>{said}")
    with FakeModel(solve) as model:
        of = study(tmp_path, model.url, samples=1, reasoning_tags=["<plan>", "</plan>"])
        found = write(of, desk(of))
        assert model.calls == 0
    assert all("99" not in r.text for r in found.judged)
    assert len(asked_questions(of)) == 9


@pytest.mark.parametrize(
    ("reason", "label"),
    [("max_tokens", "cut off: max_tokens"), ("MAX_TOKENS", "cut off: MAX_TOKENS"), ("model_length", "cut off: model_length"),
     ("error", "stopped: error"), ("length", "cut off"), ("SAFETY", "refused: SAFETY")],
)  # fmt: skip
def test_cut_texts_are_counted_by_their_reason_and_not_taught(tmp_path: Path, reason: str, label: str):
    """Texts that stop in the middle were kept wherever the right number had been said before."""
    found = asked(tmp_path, "{said}", reason)
    assert counts(found) == {label: 9}
    assert found.written.books[0]["samples"] == {label: 9}
    assert found.kept.rationales == ()
    if reason == "error":
        assert "9 of 9 texts are not used for training" in found.written.notes[0]
        assert ": 9 error." in found.written.notes[0]
    assert ("max_tokens` (" in "".join(found.written.notes)) == label.startswith("cut off")


def test_recorded_texts_are_read_in_the_same_way(tmp_path: Path):
    """Files made of a reasoning model's outputs hold its thoughts."""
    questions = [Question(f"q-{n}", "t", "train", f"How many are {n}?", (), str(n)) for n in range(3)]
    texts = ["<think>Hm</think>It is 0.", "[THINK]never ends", "It is 2."]
    write_jsonl(
        tmp_path / "r.jsonl", ({"question": q.text, "text": text} for q, text in zip(questions, texts, strict=True))
    )
    teacher = TeacherSection.model_validate({"backend": "recorded", "path": str(tmp_path / "r.jsonl")})
    found = annotate(teacher, TaskSection.model_validate({"name": "t"}), questions)
    assert [(r.question_id, r.text) for r in found.rationales] == [("q-0", "It is 0."), ("q-2", "It is 2.")]
    assert found.unwritten == {"unfinished thought": 1}
    assert "reasoning in tags such as <think> was removed from 1 recorded texts" in found.notes

"""Prompts and targets, word for word, and that what is written can be read again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tutelage.errors import PluginError, TextError
from tutelage.formats import FORMATS, LETTERS, Format, Reading, get_format
from tutelage.types import Passage, Question

BEADS = Question("q-1", "beads", "train", "Tova has 12 beads. How many?", (), "12")
BANK = Question("q-2", "banks", "train", "Where is money kept?", ("in a bank", "on {text}"), "A")
PASSAGES = (Passage("p-1", "Bank", "A bank keeps money."), Passage("p-2", "{text}", "Braces {list} stay."))


@pytest.mark.parametrize(
    ("name", "question", "prompt"),
    [
        ("arrow", BEADS, "Tova has 12 beads. How many?"),
        ("arrow", BANK, "Where is money kept? Answer choices: (A) in a bank, (B) on {text}."),
        ("therefore", BANK, "Where is money kept? Answer choices: (A) in a bank, (B) on {text}."),
        ("answer-line", BEADS, "Question: Tova has 12 beads. How many?\nExplanation:"),
        (
            "answer-line",
            BANK,
            "Question: Where is money kept?\nOptions: (A) in a bank, (B) on {text}\nExplanation:",
        ),
    ],
)
def test_prompts_word_for_word(name: str, question: Question, prompt: str):
    """A changed blank makes a trained student worse without any error."""
    assert get_format(name).prompt(question) == prompt


SCURVY = ("Which vitamin prevents scurvy?", ("vitamin A", "vitamin C"), "B")
BALLS = ("Alice and Bob swap balls. At the end, Alice has the", ("red ball", "{list} ball"), "A")
EXPLAIN = "Generate a step-by-step explanations for each question"


def of(task: str, text: str, choices: tuple[str, ...] = (), answer: str = "12") -> Question:
    return Question("q", task, "train", text, choices, answer)


@pytest.mark.parametrize(
    ("task", "about", "given"),
    [
        ("medqa_usmle_hf", " about medical knowledge", " with given medical knowledge"),
        ("strategyqa", " about common knowledge", " with given common knowledge"),
        ("obqa", " about commonsense knowledge", " with given commonsense knowledge"),
        ("my-own", "", ""),
    ],
)
def test_kard_as_published(task: str, about: str, given: str):
    """KARD's tables are of students that were asked in these words: with others they are not reproduced."""
    fmt, question = FORMATS["kard-published"], of(task, *SCURVY)
    assert fmt.prompt(question) == (
        f"The following are multiple-choice questions{about}. {EXPLAIN}:\n"
        "Question: Which vitamin prevents scurvy? A. vitamin A B. vitamin C\nExplanation:"
    )
    assert fmt.prompt(question, PASSAGES) == (
        f"The following are multiple-choice questions{about}. {EXPLAIN}{given}.\n"
        "Question: Which vitamin prevents scurvy? A. vitamin A B. vitamin C\n"
        "Knowledge: Bank . A bank keeps money. {text} . Braces {list} stay.\nExplanation:"
    )
    assert fmt.prompt(question, [Passage("p", "", "Untitled.")]).endswith("\nKnowledge: Untitled.\nExplanation:")
    assert fmt.target("She has 12.", "B") == "She has 12.\nAnswer: B"


def test_kard_as_published_asks_open_questions_without_options():
    """The papers' code has none; its line stays, and no trace of an empty list."""
    assert FORMATS["kard-published"].prompt(BEADS, PASSAGES[:1]) == (
        f"The following are multiple-choice questions. {EXPLAIN}.\nQuestion: Tova has 12 beads. How many?\n"
        "Knowledge: Bank . A bank keeps money.\nExplanation:"
    )


@pytest.mark.parametrize(
    ("question", "prompt"),
    [
        (of("svamp", "Tova has 12 beads. How many?"), "Tova has 12 beads. How many?"),
        (
            of("commonsense_qa", *BALLS),
            "Alice and Bob swap balls. At the end, Alice has the Answer Choices:\nA. red ball\nB. {list} ball",
        ),
        (
            of("tracking_shuffled_objects", *BALLS),
            "Alice and Bob swap balls. At the end, Alice has the \n"
            "Which choice is true? Answer choices: (A) red ball, (B) {list} ball.",
        ),
        (
            of("date_understanding", *BALLS),
            "Alice and Bob swap balls. At the end, Alice has the\n"
            "Which choice is true? Answer choices: (A) red ball, (B) {list} ball.",
        ),
        (
            of("my-own", *SCURVY),
            "Which vitamin prevents scurvy?\nWhich choice is true? Answer choices: (A) vitamin A, (B) vitamin C.",
        ),
    ],
)
def test_mentor_kd_as_published(question: Question, prompt: str):
    """As above, for the `input` of its data files."""
    fmt = FORMATS["mentor-kd-published"]
    assert fmt.prompt(question) == prompt
    assert fmt.prompt(question, PASSAGES[:1]) == f"A bank keeps money. {prompt}"
    assert fmt.target("She has 12.", "B") == "She has 12. --> B"


@given(st.sampled_from(sorted(FORMATS)), st.sampled_from(["commonsense_qa", "obqa", "my-own"]), st.booleans())
def test_on_one_line_words_stay_and_no_line_is_broken(name: str, task: str, grounded: bool):
    """T5 has no newline: an escaped one is noise to a T5 that was not trained here."""
    fmt, question, shown = FORMATS[name], of(task, *SCURVY), PASSAGES if grounded else ()
    flat = fmt.in_line().prompt(question, shown)
    assert "\n" not in flat
    assert flat.split() == fmt.prompt(question, shown).split()
    assert "\n" not in fmt.in_line().target("Why.", "B")


def test_passages_stand_before_the_question():
    assert FORMATS["answer-line"].prompt(BEADS, PASSAGES) == (
        "Knowledge: Bank. A bank keeps money.\nKnowledge: {text}. Braces {list} stay.\n"
        "Question: Tova has 12 beads. How many?\nExplanation:"
    )
    assert FORMATS["arrow"].prompt(BEADS, PASSAGES[:1]) == "A bank keeps money. Tova has 12 beads. How many?"


def test_a_passage_without_title_is_its_text_alone():
    """A list of facts has no titles, and each would begin with a point."""
    fact = Passage("p-3", "", "{text} A vault is locked.")
    assert FORMATS["answer-line"].prompt(BEADS, [fact]) == (
        "Knowledge: {text} A vault is locked.\nQuestion: Tova has 12 beads. How many?\nExplanation:"
    )


@pytest.mark.parametrize(
    ("name", "rationale", "target"),
    [
        ("arrow", "She has 12.", "She has 12. --> 12"),
        ("arrow", "", "--> 12"),
        ("therefore", "She has 12.", "She has 12. Therefore, the answer is 12."),
        ("answer-line", "She has 12.", "She has 12.\nAnswer: 12"),
    ],
)
def test_targets_word_for_word(name: str, rationale: str, target: str):
    assert FORMATS[name].target(rationale, "12") == target


ANSWERS = st.text(min_size=1, max_size=20)


@given(st.sampled_from(sorted(FORMATS)), st.text(max_size=200), ANSWERS)
def test_what_is_written_can_be_read_again(name: str, rationale: str, answer: str):
    """Training on a target whose answer reads differently teaches a wrong answer."""
    fmt = FORMATS[name]
    try:
        target = fmt.target(rationale, answer)
    except TextError:
        assert answer != answer.strip() or not answer or fmt.marker in answer or answer.endswith(fmt.closing or "\0")
        return
    assert fmt.read(target) == Reading(rationale.strip(), answer)


@given(st.sampled_from(sorted(FORMATS)), st.text(max_size=50), st.text(max_size=50))
def test_a_rationale_may_hold_the_marker(name: str, before: str, after: str):
    fmt = FORMATS[name]
    assume(fmt.marker not in after)
    rationale = f"{before}{fmt.marker}{after}".strip()
    assert fmt.read(fmt.target(rationale, "17")) == Reading(rationale, "17")


@given(st.sampled_from(sorted(FORMATS)), st.text(max_size=100))
def test_any_text_can_be_read(name: str, text: str):
    fmt = FORMATS[name]
    reading = fmt.read(text)
    if fmt.marker not in text:
        assert reading == Reading(text.strip(), None)
    assert reading.answer is None or reading.answer == reading.answer.strip()


@pytest.mark.parametrize("answer", ["", " ", " 12", "12\n", "a --> b", "-->"])
def test_an_answer_that_could_not_be_read_again_is_refused(answer: str):
    with pytest.raises(TextError, match="cannot be told apart from the marker"):
        FORMATS["arrow"].target("Why.", answer)


def test_an_answer_that_ends_like_the_closing_is_refused():
    """In "the answer is 12.." the second point would be lost."""
    fmt = FORMATS["therefore"]
    assert fmt.read("So. Therefore, the answer is 12") == Reading("So.", "12")
    assert fmt.target("So.", "12.5").endswith("is 12.5.")


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_texts_are_never_taken_for_places(title: str, text: str, choice: str):
    """A question about "{text}" must not be filled with another text, nor break the prompt."""
    question = Question("q", "t", "train", text, (choice, "{title}"), "A")
    prompt = FORMATS["answer-line"].prompt(question, [Passage("p", title, text)])
    knowledge = f"Knowledge: {title}. {text}" if title else f"Knowledge: {text}"
    assert prompt == f"{knowledge}\nQuestion: {text}\nOptions: (A) {choice}, (B) {{title}}\nExplanation:"


def test_a_prefix_stands_before_the_question_and_behind_passages():
    """Long prompts are cut at the front: a student that no longer sees the prefix does not know what is wanted."""
    predict = FORMATS["arrow"].prefixed("predict: ")
    assert predict.prompt(BEADS) == "predict: Tova has 12 beads. How many?"
    assert predict.prompt(BEADS, PASSAGES[:1]) == "A bank keeps money. predict: Tova has 12 beads. How many?"
    lines = FORMATS["answer-line"].prefixed("explain: ")
    assert lines.prompt(BEADS) == "explain: Question: Tova has 12 beads. How many?\nExplanation:"


@given(st.sampled_from(sorted(FORMATS)), st.text(max_size=20), st.text(max_size=50), st.text(max_size=50))
def test_a_prefix_changes_nothing_but_the_prompt(name: str, prefix: str, text: str, rationale: str):
    """Braces in it are no places, and what is written is read as without it."""
    fmt, question = FORMATS[name], Question("q", "t", "train", text, (), "17")
    opening = fmt.opening() + fmt.joint if fmt.opening() else ""
    rest = fmt.prompt(question).removeprefix(opening)
    assert fmt.prefixed(prefix).prompt(question) == opening + prefix + rest
    assert fmt.prefixed(prefix).target(rationale, "17") == fmt.target(rationale, "17")
    assert fmt.prefixed(prefix).prefixed("") == fmt


def test_a_format_from_outside_is_used_by_its_address():
    assert get_format("tutelage.formats:FORMATS") is FORMATS
    with pytest.raises(PluginError, match="no format 'arow'; did you mean 'arrow'"):
        get_format("arow")
    with pytest.raises(PluginError, match=r"'kard-published'\? \(.*kard-published, mentor-kd-published, therefore\)"):
        get_format("kard-publisht")


def test_every_format_is_told_where_a_user_begins():
    """One that no document names is found in the source alone."""
    text = (Path(__file__).parent.parent / "docs" / "start.md").read_text(encoding="utf-8")
    assert all(f"| `{name}`" in text for name in FORMATS)


def test_there_are_letters_for_every_choice():
    question = Question("q", "t", "train", "?", tuple("abcdefghijklmnopqrstuvwxyz"), "Z")
    assert "(Z) z" in Format("x", marker="->").prompt(question)
    assert len(set(LETTERS)) == 26

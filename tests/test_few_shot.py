"""Solved questions before the one that is asked, word for word, and where a model's answer to it ends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.errors import TaskError
from tutelage.few_shot import Shot, choose_shots, few_shot_prompt, pack, until_next_question
from tutelage.formats import FORMATS, Format, Reading
from tutelage.types import Passage, Question, Rationale, Split, Verdict


def asked(n: int, split: Split = "train") -> Question:
    return Question(f"q-{n}", "beads", split, f"Tova has {n} beads. How many?", (), str(n))


def written(n: int, text: str, verdict: Verdict | None = Verdict.CORRECT, sample: int = 0) -> Rationale:
    return Rationale(f"q-{n}", "teacher:x", sample, text, str(n), verdict)


LINES, ARROW = FORMATS["answer-line"], FORMATS["arrow"]
ONE, TWO = Shot(asked(1), "It says 1."), Shot(asked(2), "It says 2.")
BEAD = Passage("p-1", "Bead", "A bead is round.")


def words(text: str) -> int:
    return len(text.split())


def test_prompt_word_for_word():
    """A blank more or less between shots changes what an untrained model makes of them, without any error."""
    assert few_shot_prompt(LINES, [ONE, TWO], asked(3)) == (
        "Question: Tova has 1 beads. How many?\nExplanation:\nIt says 1.\nAnswer: 1\n\n"
        "Question: Tova has 2 beads. How many?\nExplanation:\nIt says 2.\nAnswer: 2\n\n"
        "Question: Tova has 3 beads. How many?\nExplanation:"
    )
    assert few_shot_prompt(ARROW, [ONE], asked(3)) == (
        "Tova has 1 beads. How many?\nIt says 1. --> 1\n\nTova has 3 beads. How many?"
    )


def test_a_shot_without_rationale_shows_its_answer_alone():
    assert few_shot_prompt(LINES, [Shot(asked(1))], asked(3)).startswith(
        "Question: Tova has 1 beads. How many?\nExplanation:\nAnswer: 1\n\n"
    )


def test_every_shot_has_its_own_passages():
    assert few_shot_prompt(LINES, [Shot(asked(1), "Why.", (BEAD,))], asked(3), [BEAD]) == (
        "Knowledge: Bead. A bead is round.\nQuestion: Tova has 1 beads. How many?\nExplanation:\nWhy.\nAnswer: 1\n\n"
        "Knowledge: Bead. A bead is round.\nQuestion: Tova has 3 beads. How many?\nExplanation:"
    )


def test_on_one_line_there_is_no_newline():
    """T5 has none: an escaped newline is noise to a T5 that was not trained here."""
    assert few_shot_prompt(LINES, [ONE], asked(3), lines=False) == (
        "Question: Tova has 1 beads. How many? Explanation: It says 1. Answer: 1 "
        "Question: Tova has 3 beads. How many? Explanation:"
    )


def test_an_instruction_stands_once():
    """Said again before every shot it would take the room of a solved question."""
    kard, asks = FORMATS["kard-published"], replace(asked(3), task="medqa_usmle_hf")
    line = (
        "The following are multiple-choice questions about medical knowledge. Generate a step-by-step explanations for "
        "each question"
    )
    assert few_shot_prompt(kard, [ONE], asks) == (
        f"{line}:\n\nQuestion: Tova has 1 beads. How many?\nExplanation:\nIt says 1.\nAnswer: 1\n\n"
        "Question: Tova has 3 beads. How many?\nExplanation:"
    )
    assert few_shot_prompt(kard, [Shot(asked(1), "Why.", (BEAD,))], asks, [BEAD], lines=False) == (
        f"{line} with given medical knowledge. "
        "Question: Tova has 1 beads. How many? Knowledge: Bead . A bead is round. Explanation: Why. Answer: 1 "
        "Question: Tova has 3 beads. How many? Knowledge: Bead . A bead is round. Explanation:"
    )
    assert few_shot_prompt(kard, [], asks, [BEAD]) == kard.prompt(asks, [BEAD])


KARD = FORMATS["kard-published"]


@pytest.mark.parametrize("again", ["Question: Who?", "Knowledge: Bead .", KARD.for_task("obqa").opening([BEAD])])
def test_a_text_in_the_published_words_ends_before_what_is_made_up(again: str):
    """A model that was not taught to stop begins the next question, or all over again."""
    assert until_next_question(KARD, f"So 3.\n{again} ...\nAnswer: 4").strip() == "So 3."
    assert KARD.read(until_next_question(KARD, f"So 3.\nAnswer: 3 {again}")) == Reading("So 3.", "3")


def test_a_question_is_never_its_own_shot():
    """It would be shown with its answer."""
    assert few_shot_prompt(LINES, [ONE, TWO], asked(2)) == few_shot_prompt(LINES, [ONE], asked(2))
    assert pack(LINES, [ONE, TWO], asked(2), length=words, limit=999).shots == 1


def test_no_shots_give_the_prompt_of_the_format():
    assert few_shot_prompt(LINES, [], asked(3), [BEAD]) == LINES.prompt(asked(3), [BEAD])


def test_shots_are_training_questions_with_a_correct_rationale():
    """A shot from dev or test gives away an answer that is scored."""
    questions = [asked(1), asked(2), asked(3), asked(4, "dev"), asked(5, "test"), asked(6)]
    rationales = [
        written(1, "second", sample=1),
        written(1, "first"),
        written(2, "wrong", Verdict.WRONG),
        written(3, "not judged", None),
        written(4, "dev"),
        written(5, "test"),
        written(6, "good", sample=2),
    ]
    shots = choose_shots(questions, 2, rationales=rationales)
    assert {(s.question.id, s.rationale) for s in shots} == {("q-1", "first"), ("q-6", "good")}
    assert {s.question.split for s in choose_shots(questions, 4)} == {"train"}
    with pytest.raises(TaskError, match="3 shots wanted, but there are 2 training questions with a correct rationale"):
        choose_shots(questions, 3, rationales=rationales)
    with pytest.raises(TaskError, match="5 shots wanted, but there are 4 training questions"):
        choose_shots(questions, 5)


def test_shots_depend_on_the_seed_and_not_on_the_order():
    questions = [asked(n) for n in range(30)]
    chosen = choose_shots(questions, 6, seed=1)
    assert chosen == choose_shots(questions[::-1], 6, seed=1)
    assert chosen[:3] == choose_shots(questions, 3, seed=1)
    assert {s.question.id for s in chosen} != {s.question.id for s in choose_shots(questions, 6, seed=2)}


def test_shots_carry_their_passages():
    [shot] = choose_shots([asked(1)], 1, passages={"q-1": [BEAD], "q-2": []})
    assert shot.passages == (BEAD,)


SHOTS = [Shot(asked(n), f"It says {n}.", (BEAD,) * (n % 3)) for n in range(1, 6)]


def test_the_first_shots_are_dropped_whole():
    limit = words(few_shot_prompt(LINES, SHOTS[2:], asked(9), [BEAD]))
    packed = pack(LINES, SHOTS, asked(9), [BEAD], length=words, limit=limit)
    assert packed.prompt == few_shot_prompt(LINES, SHOTS[2:], asked(9), [BEAD])
    assert packed[1:3] == (3, 2)
    assert pack(LINES, SHOTS, asked(9), [BEAD], length=words, limit=limit - 1)[1:3] == (2, 3)


def test_passages_of_the_question_go_when_no_shot_is_left():
    limit = words(LINES.prompt(asked(9), [BEAD])) - 1
    packed = pack(LINES, SHOTS, asked(9), [BEAD], length=words, limit=limit)
    assert packed[1:3] == (0, 5)
    assert packed.prompt == packed.last.prompt
    assert (packed.last.passages[0].text, packed.last.words_cut) == ("A bead is", 1)


@given(st.sampled_from(sorted(FORMATS)), st.integers(0, 120), st.booleans())
def test_the_question_is_never_lost(name: str, limit: int, lines: bool):
    packed = pack(FORMATS[name], SHOTS, asked(9), [BEAD], length=words, limit=limit, lines=lines)
    fmt = FORMATS[name] if lines else FORMATS[name].in_line()
    question, bare = fmt.prompt(asked(9)), fmt.without_instruction()
    ending = [fmt.prompt(asked(9), shown) for shown in ((), packed.last.passages)]
    assert packed.prompt.endswith((*ending, *(bare.prompt(asked(9), shown) for shown in ((), packed.last.passages))))
    assert packed.shots + packed.dropped == 5
    assert words(packed.prompt) <= limit or not packed.last.fits
    assert packed.last.fits == (limit >= words(question))


RUN_ON = few_shot_prompt(LINES, SHOTS, asked(9))


@pytest.mark.parametrize(
    ("fmt", "written", "reading"),
    [
        (LINES, "So 3.\nAnswer: 3", Reading("So 3.", "3")),
        (LINES, "So 3.\nAnswer: 3\n\n" + RUN_ON, Reading("So 3.", "3")),
        (LINES, "So 3.\n\nIt is.\n\nAnswer: 3\n\nAnd 4.\nAnswer: 4", Reading("So 3.\n\nIt is.", "3")),
        (LINES, "So 3.\nAnswer:\n3\nAnswer: 4", Reading("So 3.", "3")),
        (LINES, "So 3. Answer: 3 Question: And 4? Explanation: Yes. Answer: 4", Reading("So 3.", "3")),
        (LINES, "I ask.\nQuestion: And 4?\nExplanation:\nYes.\nAnswer: 4", Reading("I ask.", None)),
        (LINES, "Question: And 4?\nExplanation:\nYes.\nAnswer: 4", Reading("", None)),
        (LINES, "So.\nKnowledge: Bead. It is.\nQuestion: And 4?\nAnswer: 4", Reading("So.", None)),
        (LINES, "The Question: how many? is 3.\nAnswer: 3", Reading("The Question: how many? is 3.", "3")),
        (LINES, "So 3, as before", Reading("So 3, as before", None)),
        (LINES, "", Reading("", None)),
        (ARROW, "So 3. --> 3\n\nTova has 4. How many?\nSo 4. --> 4", Reading("So 3.", "3")),
        (ARROW, "So 3. --> 3\nTova has 4. --> 4", Reading("So 3.", "3")),
        (ARROW, "So 3. --> 3 Tova has 4. So 4. --> 4", Reading("So 3.", "3 Tova has 4. So 4.")),
        (ARROW, "--> --> 4", Reading("-->", "4")),
        (ARROW.prefixed("explain: "), "So 3. --> 3 explain: Tova has 4. --> 4", Reading("So 3.", "3")),
        (
            FORMATS["therefore"],
            "So. Therefore, the answer is 3.\n\nTova? Therefore, the answer is 4.",
            Reading("So.", "3"),
        ),
    ],
)
def test_a_model_that_goes_on_is_read_at_its_first_answer(fmt: Format, written: str, reading: Reading):
    """Read at the last marker, it would be scored on the answer to a question that it made up."""
    assert fmt.read(until_next_question(fmt, written)) == reading


@given(st.sampled_from(sorted(FORMATS)), st.text(max_size=100))
def test_what_is_kept_is_a_beginning_of_what_was_written(name: str, text: str):
    assert text.startswith(until_next_question(FORMATS[name], text))


@pytest.mark.parametrize(("name", "lines"), [*((name, True) for name in sorted(FORMATS)), ("answer-line", False)])
def test_every_shot_is_read_as_it_was_shown(name: str, lines: bool):
    """If the shots themselves could not be read, nor could a model that copies them perfectly.

    On one line only a format that introduces its questions shows where the next one begins.
    """
    fmt = FORMATS[name]
    prompt = few_shot_prompt(fmt, [ONE, TWO], asked(3), lines=lines)
    behind = prompt.partition((fmt if lines else fmt.in_line()).without_instruction().prompt(asked(1)))[2]
    assert fmt.read(until_next_question(fmt, behind)) == Reading("It says 1.", "1")

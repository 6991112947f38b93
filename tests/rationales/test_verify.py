"""A model that reads a rationale and must choose the gold option."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from tutelage.errors import RecipeError, TaskError
from tutelage.formats import FORMATS
from tutelage.generation.options import option_log_probs
from tutelage.models import load
from tutelage.rationales.keep import keep
from tutelage.rationales.verify import Place, Verified, combined, counts, verify
from tutelage.types import Question, Rationale, Verdict

CORRECT, WRONG, UNREAD = Verdict.CORRECT, Verdict.WRONG, Verdict.UNREAD
LINES = FORMATS["answer-line"]
BANK = Question("q-1", "banks", "train", "Where is money kept?", ("in a bank", "in a shoe", "in a tree"), "A")
SKY = Question("q-2", "facts", "train", "Is the sky blue?", (), "no")


def rationale(
    text: str = "Banks are safe.", verdict: Verdict | None = CORRECT, id: str = "q-1", n: int = 0
) -> Rationale:
    return Rationale(id, "teacher:x", n, text, "A", verdict)


class Asked(NamedTuple):
    prompts: Sequence[str]
    options: Sequence[Sequence[str]]
    beginnings: Sequence[str]


class Finds:
    """A scorer that says what it is told to, and remembers what it was asked."""

    def __init__(self, *log_probs: Sequence[float] | None) -> None:
        self.log_probs = log_probs
        self.asked: Asked | None = None

    def __call__(
        self, prompts: Sequence[str], options: Sequence[Sequence[str]], *, beginnings: Sequence[str]
    ) -> Sequence[Sequence[float] | None]:
        self.asked = Asked(prompts, options, beginnings)
        return self.log_probs


def test_what_is_read_word_for_word():
    """A verifier asked in other words than it knows chooses by chance, and half of the rationales are lost."""
    finds = Finds([-1, -2, -3])
    verify(finds, LINES, "letter", [(BANK, rationale(" Banks are safe.\n"))], cue="So, the answer is")
    assert finds.asked == Asked(
        [
            "Question: Where is money kept?\nOptions: (A) in a bank, (B) in a shoe, (C) in a tree\nExplanation:\n"
            "Banks are safe.\nSo, the answer is"
        ],
        [("A", "B", "C")],
        [""],
    )


def test_on_one_line_and_with_the_marker_for_a_cue():
    finds = Finds([-1, -2])
    verify(finds, replace(LINES, lines=False), "yes_no", [(SKY, rationale("Look up.", id="q-2"))])
    assert finds.asked == Asked(["Question: Is the sky blue? Explanation: Look up. Answer:"], [("yes", "no")], [""])


def test_a_trained_model_reads_what_it_would_have_written():
    """Prompt, beginning and option together are the prompt and target that it was trained on."""
    for fmt in FORMATS.values():
        finds = Finds([-1, -2, -3])
        verify(finds, fmt, "letter", [(BANK, rationale())], place="written")
        assert finds.asked
        [prompt], [options], [beginning] = finds.asked
        assert prompt == fmt.prompt(BANK)
        assert beginning + options[1] + fmt.closing == fmt.target("Banks are safe.", "B")


def test_the_prompt_may_have_shots_and_knows_what_stands_behind_it():
    finds = Finds([-1, -2, -3])
    verify(finds, LINES, "letter", [(BANK, rationale())], prompt=lambda q, behind: f"{len(behind)} {q.text}")
    assert finds.asked
    assert finds.asked.prompts == ["23 Where is money kept?\nBanks are safe.\nAnswer:"]


@pytest.mark.parametrize(
    ("log_probs", "chosen", "verdict"),
    [
        ((-1.0, -2.0, -3.0), "A", CORRECT),
        ((-2.0, -1.0, -3.0), "B", WRONG),
        ((-2.0, -2.0, -3.0), None, UNREAD),
        ((-2.0, -3.0, -3.0), "A", CORRECT),
        (None, None, UNREAD),
    ],
)
def test_the_likeliest_option_is_chosen(log_probs: tuple[float, ...] | None, chosen: str | None, verdict: Verdict):
    """Of two equally likely options neither is chosen: taking the first would favour A."""
    [found] = verify(Finds(log_probs), LINES, "letter", [(BANK, rationale())])
    assert found == Verified(rationale(), ("A", "B", "C"), log_probs or (), chosen, verdict)


PAIRS = [
    (BANK, rationale("a", CORRECT)),
    (BANK, rationale("b", CORRECT)),
    (BANK, rationale("c", WRONG)),
    (BANK, rationale("d", WRONG)),
    (BANK, rationale("e", UNREAD)),
    (BANK, rationale("f", None)),
    (BANK, rationale("g", CORRECT)),
    (BANK, rationale("h", CORRECT)),
]
GOLD, OTHER = (-1, -2, -3), (-3, -2, -1)
FOUND = Finds(GOLD, OTHER, GOLD, OTHER, GOLD, OTHER, None, (-1, -1, -1))


def test_every_rationale_is_counted_once():
    """What a verifier throws away must be seen, or a bad one silently halves the data."""
    verified = verify(FOUND, LINES, "letter", PAIRS)
    assert counts(verified) == {
        "agreed": 1,
        "refused": 1,
        "accepted though wrong": 1,
        "refused and wrong": 1,
        "accepted though unread": 1,
        "refused and not judged": 1,
        "too long": 1,
        "undecided": 1,
    }
    assert [v.rationale for v in verified] == [r for _, r in PAIRS]


def test_both_judges_together_or_the_model_alone():
    verified = verify(FOUND, LINES, "letter", PAIRS)
    both = [CORRECT, WRONG, WRONG, WRONG, UNREAD, None, UNREAD, UNREAD]
    assert [r.verdict for r in combined(verified)] == both
    alone = [CORRECT, WRONG, CORRECT, WRONG, CORRECT, WRONG, UNREAD, UNREAD]
    assert [r.verdict for r in combined(verified, match=False)] == alone
    assert [r.text for r in keep(combined(verified)).rationales] == ["a"]
    assert [r.text for r in keep(combined(verified, match=False)).rationales] == ["a", "c", "e"]


def test_a_row_holds_both_verdicts():
    [found] = verify(Finds(OTHER), LINES, "letter", PAIRS[:1])
    row = found.row()
    assert (row["verdict"], row["verified"], row["chosen"], row["log_probs"]) == ("correct", "wrong", "C", OTHER)


@pytest.mark.parametrize("answers", ["number", "words"])
def test_open_answers_are_refused(answers: str):
    """There is nothing to choose from; a verdict would be made up."""
    with pytest.raises(RecipeError, match=f"answers of type '{answers}' have none. Expected letter or yes_no"):
        verify(Finds(), LINES, answers, [])


def test_questions_without_a_choice_are_named_all_at_once():
    """With one option every rationale would pass."""
    one = replace(BANK, id="q-3", choices=("in a bank",))
    many = replace(BANK, id="q-4", choices=("x",) * 27)
    gold = replace(BANK, id="q-5", answer="D", meta={"where": "banks.jsonl:7"})
    pairs = [(q, rationale(id=q.id, n=n)) for q in (one, many, gold) for n in range(2)]
    with pytest.raises(TaskError) as caught:
        verify(Finds(), LINES, "letter", [*pairs, (BANK, rationale(id="q-9"))])
    assert str(caught.value).splitlines()[1:-1] == [
        "  - q-3: 1 choices; expected 2 to 26",
        "  - q-4: 27 choices; expected 2 to 26",
        "  - banks.jsonl:7: gold answer 'D'; expected one of A, B, C",
        "  - q-1: given with a rationale of q-9",
    ]


def test_nothing_to_verify():
    assert verify(Finds(), LINES, "letter", []) == []


@pytest.mark.parametrize("place", ["read", "written"])
@pytest.mark.parametrize("kind", ["t5", "gpt"])
def test_with_a_real_model(kind: str, place: Place, tiny_t5_folder: Path, tiny_gpt_folder: Path):
    """Scorer and verifier are written apart: together they must choose what the model alone finds likeliest."""
    lm = load({"t5": tiny_t5_folder, "gpt": tiny_gpt_folder}[kind], device="cpu")
    pairs = [(SKY, rationale(text, id="q-2")) for text in ("Look up.", "It is 12.", "x" * 200)]
    verified = verify(partial(option_log_probs, lm), FORMATS["arrow"], "yes_no", pairs, place=place)
    alone = [
        verify(partial(option_log_probs, lm), FORMATS["arrow"], "yes_no", [pair], place=place)[0] for pair in pairs
    ]
    assert [v.chosen for v in verified] == [v.chosen for v in alone]
    assert [v.outcome == "too long" for v in verified] == [False, False, kind == "gpt"]
    for found, single in zip(verified, alone, strict=True):
        assert found.log_probs == pytest.approx(single.log_probs, abs=1e-4)

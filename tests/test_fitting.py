"""Passages give way to the question, the worst first, and nothing else gives way."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.fitting import Fitted, fit
from tutelage.formats import FORMATS, Format
from tutelage.models import cut_prompt, load
from tutelage.types import Passage, Question

BANK = Question("q-1", "banks", "train", "Where is money kept?", ("in a bank", "in a shoe"), "A")
PASSAGES = (
    Passage("p-1", "Bank", "A bank keeps money."),
    Passage("p-2", "Mint", "A mint strikes coins of all kinds."),
    Passage("p-3", "", "Purses are small."),
)
LINES = FORMATS["answer-line"]


def words(text: str) -> int:
    return len(text.split())


def test_a_prompt_that_fits_is_the_prompt_of_the_format():
    prompt = LINES.prompt(BANK, PASSAGES)
    assert fit(LINES, BANK, PASSAGES, length=words, limit=words(prompt)) == Fitted(prompt, PASSAGES, 0, 0, True)


def test_the_worst_passage_goes_first_and_the_next_is_shortened_at_a_word():
    """Cut at the front, the passage that the retriever trusts most would be lost first."""
    limit = words(LINES.prompt(BANK, PASSAGES[:2])) - 4
    fitted = fit(LINES, BANK, PASSAGES, length=words, limit=limit)
    assert fitted.prompt == (
        "Knowledge: Bank. A bank keeps money.\nKnowledge: Mint. A mint strikes\n"
        "Question: Where is money kept?\nOptions: (A) in a bank, (B) in a shoe\nExplanation:"
    )
    assert [p.text for p in fitted.passages] == ["A bank keeps money.", "A mint strikes"]
    assert fitted[2:] == (1, 4, True)


def test_passages_behind_the_question_lose_their_end():
    """As in KARD's code, where the knowledge is cut and "Explanation:" is safe; here at a word, never in an option."""
    fmt = FORMATS["kard-published"]
    fitted = fit(fmt, BANK, PASSAGES, length=words, limit=words(fmt.prompt(BANK, PASSAGES[:2])) - 4)
    assert fitted.prompt == (
        "The following are multiple-choice questions. Generate a step-by-step explanations for each question.\n"
        "Question: Where is money kept? A. in a bank B. in a shoe\n"
        "Knowledge: Bank . A bank keeps money. Mint . A mint strikes\nExplanation:"
    )
    assert fitted[2:] == (1, 4, True)


def test_a_passage_without_text_costs_no_other_a_word():
    """It is the first to go: an empty row of a corpus must not push the best passage out."""
    empty = Passage("p-4", "Purse", "")
    limit = words(LINES.prompt(BANK, PASSAGES))
    assert fit(LINES, BANK, [*PASSAGES, empty], length=words, limit=limit)[1:] == (PASSAGES, 1, 0, True)


def test_a_title_alone_is_not_shown():
    """Saying "Knowledge: Mint." says nothing, and costs tokens."""
    limit = words(LINES.prompt(BANK, PASSAGES[:1])) + 2
    fitted = fit(LINES, BANK, PASSAGES, length=words, limit=limit)
    assert fitted == Fitted(LINES.prompt(BANK, PASSAGES[:1]), PASSAGES[:1], 2, 0, True)


def test_a_question_too_long_by_itself_is_given_whole_and_said_so():
    """What to do about it is the caller's choice; a question without its options is another question."""
    assert fit(LINES, BANK, PASSAGES, length=words, limit=3) == Fitted(LINES.prompt(BANK), (), 3, 0, False)
    assert fit(LINES, BANK, (), length=words, limit=3) == Fitted(LINES.prompt(BANK), (), 0, 0, False)
    assert fit(LINES, BANK, (), length=words, limit=99) == Fitted(LINES.prompt(BANK), (), 0, 0, True)


def test_a_script_without_spaces_is_cut_inside():
    """Otherwise a Chinese passage would be shown whole or not at all."""
    passage = Passage("p-1", "", "銀行" * 100)
    fitted = fit(LINES, BANK, [passage], length=len, limit=len(LINES.prompt(BANK)) + 100)
    assert fitted.passages[0].text == "銀行" * 40
    assert fitted.words_cut == 3


def test_white_space_inside_a_passage_stays():
    passage = Passage("p-1", "T", "one\n two  three four")
    prompt = LINES.prompt(BANK, [passage])
    fitted = fit(LINES, BANK, [passage], length=words, limit=words(prompt) - 1)
    assert fitted.passages[0].text == "one\n two  three"


TEXTS = st.text(st.sampled_from("ab .\n銀{}"), max_size=60)
FOUND = st.lists(st.builds(Passage, st.just("p"), TEXTS, TEXTS), max_size=5)
ASKED = st.builds(
    lambda text, choices: Question("q", "t", "train", text, tuple(choices), "A"), TEXTS, st.lists(TEXTS, max_size=3)
)
FMT = st.sampled_from([*FORMATS.values(), FORMATS["answer-line"].prefixed("explain: ")])


@given(FMT, ASKED, FOUND, st.integers(0, 300))
def test_question_choices_and_cue_are_never_lost(fmt: Format, question: Question, passages: list[Passage], limit: int):
    """A student that is not shown its options, or its cue, answers something else."""
    fitted = fit(fmt, question, passages, length=len, limit=limit)
    alone = fmt.prompt(question)
    if fmt.behind is None:
        assert fitted.prompt.endswith(alone)
    else:
        asked, cue = alone.removeprefix(fmt.opening()).rsplit("\n", 1)
        assert fitted.prompt.removeprefix(fmt.opening(fitted.passages)).startswith(asked)
        assert fitted.prompt.endswith(f"\n{cue}")
    assert fitted.prompt == fmt.prompt(question, fitted.passages)
    assert fitted.fits == (len(fitted.prompt) <= limit)
    assert fitted.fits or not fitted.passages
    assert fitted.dropped + len(fitted.passages) == len(passages)
    assert fitted.fits or len(alone) > limit
    for shown, given_ in zip(fitted.passages, passages, strict=False):
        assert given_.text.startswith(shown.text)
    assert all(a == b for a, b in zip(fitted.passages[:-1], passages, strict=False))


@given(FMT, ASKED, FOUND, st.integers(0, 300))
def test_fitting_again_changes_nothing(fmt: Format, question: Question, passages: list[Passage], limit: int):
    """Training fits once and serving may fit again."""
    first = fit(fmt, question, passages, length=len, limit=limit)
    again = fit(fmt, question, first.passages, length=len, limit=limit)
    assert again == Fitted(first.prompt, first.passages, 0, 0, first.fits)


@given(FMT, ASKED, FOUND, st.integers(0, 300), st.integers(0, 100))
def test_more_room_never_shows_less(fmt: Format, question: Question, passages: list[Passage], limit: int, more: int):
    small = fit(fmt, question, passages, length=len, limit=limit)
    large = fit(fmt, question, passages, length=len, limit=limit + more)
    shown = [sum(len(p.text) for p in fitted.passages) for fitted in (small, large)]
    assert shown[0] <= shown[1]
    assert len(small.passages) <= len(large.passages)


@given(ASKED, FOUND, st.integers(0, 300))
def test_as_much_is_shown_as_there_is_room_for(question: Question, passages: list[Passage], limit: int):
    """One more word would not fit: found by trying every number of words in turn."""
    fitted = fit(LINES, question, passages, length=len, limit=limit)
    best = ""
    for n, passage in enumerate(passages):
        for end in range(1, len(passage.text) + 1):
            if passage.text[end - 1].isspace() or not (end == len(passage.text) or passage.text[end].isspace()):
                continue
            cut = Passage("p", passage.title, passage.text[:end])
            prompt = LINES.prompt(question, [*passages[:n], cut])
            if len(prompt) <= limit and all(len(w) <= 40 for p in passages for w in p.text.split()):
                best = max(best, prompt, key=len)
    assert len(fitted.prompt) >= len(best)


@pytest.mark.parametrize("kind", ["t5", "gpt"])
def test_nothing_is_left_for_the_cut_of_tokens(kind: str, tiny_t5_folder: Path, tiny_gpt_folder: Path):
    """`cut_prompt` takes from the front, where the best passage stands."""
    lm = load({"t5": tiny_t5_folder, "gpt": tiny_gpt_folder}[kind], device="cpu")
    whole = lm.prompt_ids(LINES.prompt(BANK, PASSAGES))
    bare = len(lm.prompt_ids(LINES.prompt(BANK)))
    for limit in range(bare, len(whole) + 1, 7):
        fitted = fit(LINES, BANK, PASSAGES, length=lambda text: len(lm.prompt_ids(text)), limit=limit)
        ids = lm.prompt_ids(fitted.prompt)
        assert fitted.fits
        assert cut_prompt(lm, ids, limit) == ids
        assert lm.text(ids).rstrip("\n") == fitted.prompt

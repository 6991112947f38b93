"""The escape: lossless for every text and both kinds of tokenizer, and total when reading what a student wrote."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.escape import Escape, audit, survives, token_ids, token_text
from tutelage.models import load

AWKWARD = st.text(alphabet=" \n\t{}<>~\\^`§¤|u01fsnm.,e\u0301\ufb01…ａ\u00a0\u200b▁😀", max_size=30)
ANY_TEXT = st.one_of(st.text(max_size=30), AWKWARD)


@pytest.fixture(scope="module")
def unigram(tiny_t5_folder: Path) -> Any:
    return load(tiny_t5_folder).tokenizer


@pytest.fixture(scope="module")
def bytes_bpe(tiny_gpt_folder: Path) -> Any:
    return load(tiny_gpt_folder).tokenizer


def sent(tokenizer: Any, escape: Escape, text: str) -> str:
    return escape.decode(token_text(tokenizer, token_ids(tokenizer, escape.encode(text))))


@settings(max_examples=300, deadline=None)
@given(text=ANY_TEXT)
def test_any_text_comes_back_from_a_sentencepiece_tokenizer(unigram: Any, text: str):
    """A formula that loses its braces, or steps that lose their newlines, would be taught as they are not."""
    assert sent(unigram, Escape.of(unigram), text) == text


@settings(max_examples=100, deadline=None)
@given(text=ANY_TEXT)
def test_any_text_comes_back_from_a_byte_level_tokenizer(bytes_bpe: Any, text: str):
    """GPT-2 carries everything already; an escape must not get in its way."""
    escape = Escape.of(bytes_bpe)
    assert escape.mark is None
    assert escape.encode(text) == text
    assert sent(bytes_bpe, escape, text) == text


def test_t5_kind_of_tokenizer_lacks_what_t5_lacks(unigram: Any):
    """The fixture must have the defect that the escape is for, or the tests above prove nothing."""
    for lacking in "{}<~\\\n":
        assert not survives(unigram, f"a{lacking}a")
    assert not survives(unigram, "a  b")


def test_escaped_text_is_readable_and_short(unigram: Any):
    """Common characters get names of one letter: a rationale of ten lines must not double in length."""
    assert Escape.of(unigram).encode("if x < 3:\n  {x}\\~\t😀") == "if x §l 3:§n §s§ox§c§b§w§t§u1f600§"


def test_mark_itself_is_escaped(unigram: Any):
    """A text that holds the mark must not be read as an escape."""
    escape = Escape.of(unigram)
    assert escape.encode("§n") == "§mn"
    assert escape.decode("§mn") == "§n"


@pytest.mark.parametrize("damaged", ["§", "§x", "§u", "§u12", "§uffffff§", "§ud800§", "a§ b"])
def test_damaged_escape_stays_as_it_is(unigram: Any, damaged: str):
    """A half-trained student writes anything; reading it must never fail, nor make half a surrogate pair."""
    assert Escape.of(unigram).decode(damaged) == damaged


def test_spelled_special_tokens_are_text(unigram: Any, bytes_bpe: Any):
    """A question about "</s>" must not end the prompt there."""
    for tokenizer, text in ((unigram, "what is </s> and <pad>?"), (bytes_bpe, "what is <|endoftext|>?")):
        ids = token_ids(tokenizer, Escape.of(tokenizer).encode(text))
        assert tokenizer.eos_token_id not in ids
        assert sent(tokenizer, Escape.of(tokenizer), text) == text


def test_audit_passes_what_the_escape_carries(tiny_t5_folder: Path):
    """The audit stops runs; it must not stop one for a text that is carried."""
    assert audit(load(tiny_t5_folder), {"q-1": "x < 3\n{y}", "q-2": ""}) == []


def test_audit_names_text_and_characters(tiny_t5_folder: Path):
    """Whoever has to mend a data file must learn which row and which characters."""
    lm = replace(load(tiny_t5_folder), escape=Escape())
    problems = audit(lm, {"q-1": "fine", "q-2": "{a}\n", "q-3": "a  b", "q-4": "\ud800"})
    assert problems == [
        r"q-2: cannot carry '\n' (U+000A), '{' (U+007B), '}' (U+007D)",
        "q-3: white space would be changed",
        r"q-4: holds half a surrogate pair ('\ud800' (U+D800)), which is no text",
    ]


def test_audit_counts_beyond_twenty_characters(tiny_t5_folder: Path):
    """A text in another script must not fill the screen."""
    lm = replace(load(tiny_t5_folder), escape=Escape())
    [problem] = audit(lm, {"q": "".join(map(chr, range(0x4E00, 0x4E00 + 25)))})
    assert problem.endswith("and 5 more")

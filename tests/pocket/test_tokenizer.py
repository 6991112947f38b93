"""The shared tokenizer: loses nothing, knows no unknown, keeps names and digits in usable pieces."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.pocket import tokenizer, words

ENDED, PLAIN = tokenizer.fast(ends=True), tokenizer.fast(ends=False)
MARKS = (tokenizer.PAD, tokenizer.EOS, tokenizer.UNK)
TEXTS = st.text(st.characters(exclude_categories=("Cs",))).filter(lambda text: not any(mark in text for mark in MARKS))


@settings(deadline=None, max_examples=300)
@given(TEXTS)
def test_decoding_gives_back_any_text(text):
    """A user's text that comes back changed would be graded as wrong although it was right."""
    for one in (ENDED, PLAIN):
        ids = one(text)["input_ids"]
        assert one.decode(ids, skip_special_tokens=True) == text
        assert one.unk_token_id not in ids


@pytest.mark.parametrize(
    "text", [" ", "  a  b\n\n{c}\t", "▁", "x\r\ny ", "12 . 5 , 3 !", "don't 's", "٣é日本", "12345"]
)
def test_spaces_braces_and_marks_survive(text):
    """Clean-up of spaces silently rewrites texts; it must be off."""
    assert ENDED.decode(ENDED(text)["input_ids"], skip_special_tokens=True) == text


def test_only_the_encoder_decoder_tokenizer_ends_its_texts():
    """A causal model whose prompt ends with the end mark has nothing left to write."""
    assert ENDED("Torvel")["input_ids"][-1] == ENDED.eos_token_id
    assert PLAIN.eos_token_id not in PLAIN("Torvel")["input_ids"]
    assert ENDED("a b", add_special_tokens=False)["input_ids"] == PLAIN("a b")["input_ids"]


def test_no_piece_holds_two_digits():
    """Sums are learnt digit by digit; a token for "12" would have to be learnt apart from "13"."""
    assert all(sum(c.isdigit() for c in piece) <= 1 for piece in tokenizer.pieces())
    assert len(PLAIN.tokenize("1234")) == 4


@pytest.mark.parametrize("side", words.SIDES)
def test_every_invented_name_is_two_pieces_wherever_it_stands(side):
    """A name cut differently at the start of a text cannot be copied from there."""
    for name in words.names(side):
        alone = PLAIN.tokenize(name)
        assert len(alone) == 2
        assert PLAIN.tokenize(f"The {name}'s, ({name})")[1:3] == alone


def test_common_words_and_the_arrow_are_one_piece():
    """Ordinary rationales must stay short, or a tiny student spends its budget on spelling."""
    for word in ("beads", "She", "white", "Alice", "Claire", "Monday", "-->", "How", "many"):
        assert len(PLAIN.tokenize(word)) == 1


def test_the_vocabulary_stays_small():
    """Every piece costs each checkpoint a row of weights."""
    assert len(ENDED) <= 1510


def test_sides_share_no_name():
    """A name of pretraining in a task would make part of the task familiar."""
    sides = [set(words.names(side)) for side in words.SIDES]
    assert len(set.union(*sides)) == sum(map(len, sides))

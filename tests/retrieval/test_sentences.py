"""Where sentences end, and documents cut into passages."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pysbd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.retrieval.corpus.sentences import LONGEST_WORD, cut, sentences


@pytest.mark.parametrize(
    "expected",
    [
        ["It rained.", "It poured!", "Did it stop?", "No."],
        ["Dr. Ito met Mrs. Abe at 5 p.m. on Main St. in Rome.", "They left."],
        ["J. R. R. Tolkien wrote it.", "He was born in 1892."],
        ['She said "Stop!"', '"Why?" he asked.', "(Nobody knew.)", "It ended."],
        ["The value was 3.14 in fig. 2 of the U.S. report.", "Then it fell."],
        ["Well...", "Perhaps."],
        ["今日は雨です。", "明日は晴れ！", "「そう。」", "Yes."],
        ["one without an end"],
    ],
)
def test_sentences_end_where_a_reader_ends_them(expected: list[str]):
    """A passage that begins within a sentence lacks its subject."""
    joint = "" if "。" in expected[0] else " "
    text = joint.join(expected[:-1]) + " " + expected[-1] if len(expected) > 1 else expected[0]
    assert sentences(text.replace(" ", "\n  ", 1)) == expected


def test_passages_hold_whole_sentences():
    """Up to the number of words, and no sentence is lost or torn."""
    text = "One two three. Four five. Six seven eight nine. Ten."
    assert list(cut([text], words=5)) == ["One two three. Four five.", "Six seven eight nine. Ten."]
    assert list(cut(["One two three.", "Four five."], words=4)) == ["One two three.", "Four five."]


def test_a_passage_repeats_the_end_of_the_one_before():
    """What a sentence says is often understood from the one before it."""
    text = "Ants dig in. Bees fly. Cats sleep here. Dogs never do that."
    assert list(cut([text], words=6, overlap=3)) == [
        "Ants dig in. Bees fly.",
        "Bees fly. Cats sleep here.",
        "Dogs never do that.",
    ]
    assert list(cut([text], words=8, overlap=3)) == [
        "Ants dig in. Bees fly. Cats sleep here.",
        "Cats sleep here. Dogs never do that.",
    ]


def test_a_sentence_that_is_too_long_is_cut():
    """A list without a full stop would become one passage of a thousand words, most of it beyond any prompt."""
    long = " ".join(str(n) for n in range(25))
    assert [len(p.split()) for p in cut([long], words=10)] == [10, 10, 5]
    assert [len(p) for p in cut(["界" * 25], words=10)] == [10, 10, 5]
    assert [len(p) for p in cut(["x" * (LONGEST_WORD + 5)], words=1)] == [LONGEST_WORD, 5]


@given(st.lists(st.text(alphabet="ab. A?\n界", max_size=60), max_size=5), st.integers(1, 12), st.integers(0, 11))
def test_no_word_is_lost_or_turned(paragraphs: list[str], words: int, overlap: int):
    """Without overlap the passages are the text; with it, each adds something new and none is too long."""
    joined = "".join("".join(p.split()) for p in paragraphs)
    assert "".join("".join(p.split()) for p in cut(paragraphs, words=words)) == joined
    overlapping = list(cut(paragraphs, words=words, overlap=min(overlap, words - 1)))
    assert all(len(p.replace("界", " 界 ").split()) <= words for p in overlapping)
    assert len(overlapping) <= max(1, len(joined))


@pytest.mark.data
def test_sentences_are_those_of_an_independent_splitter():
    """On Wikipedia nearly every sentence must be one that pysbd finds as well."""
    folder = os.environ.get("TUTELAGE_DATA")
    if not folder:
        pytest.skip("TUTELAGE_DATA is not set")
    with gzip.open(Path(folder) / "wiki_kb" / "all_passages.jsonl.gz", "rt", encoding="utf-8") as file:
        texts = [" ".join(json.loads(line)["text"].split()) for line in file][::400]
    other = pysbd.Segmenter(language="en", clean=False)
    same = total = 0
    for text in texts:
        theirs = {piece.strip() for piece in other.segment(text)}
        ours = sentences(text)
        same += sum(piece in theirs for piece in ours)
        total += len(ours)
    assert total > 400
    assert same / total > 0.93

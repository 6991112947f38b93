"""An index that an earlier version made, with its analyser: read, searched and added to as before.

fixtures/index-english-1 was written by commit 8c9a165 from the five PASSAGES below.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import bm25s
import pytest
import regex
from small_corpora import ids

from tutelage.retrieval.bm25 import Bm25
from tutelage.retrieval.bm25.changing import Changes
from tutelage.retrieval.bm25.folder import MANIFEST
from tutelage.types import Passage

PASSAGES = [
    Passage("hindi", "", "काला रंग"),
    Passage("nail", "", "कील लोहा"),
    Passage("pi", "", "The number 3.14 and 3 apples"),
    Passage("zoo", "Birds", "owls hunt at night"),
    Passage("street", "", "Straße in Zürich"),
]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    shutil.copytree(Path(__file__).parents[1] / "fixtures" / "index-english-1", tmp_path / "old")
    return tmp_path / "old"


def analyser_of(folder: Path) -> str:
    return json.loads((folder / MANIFEST).read_text())["analysis"]


def test_an_old_index_gives_what_it_gave(old: Path):
    """Students point to the index of their run: after an update it must find the same passages."""
    index = Bm25.open(old)
    found = [[(h.passage_id, h.score) for h in hits] for hits in index.search(["काला", "3.14", "hunting owls"], 5)]
    assert found[0] == [("nail", pytest.approx(1.05607578560, rel=1e-9)), ("hindi", pytest.approx(0.91244684639))]
    assert found[1] == [("pi", pytest.approx(1.60843657400, rel=1e-9))]
    assert found[2] == [("zoo", pytest.approx(1.44484875816, rel=1e-9))]
    assert index.fingerprint == "f9c623d37b202e643ae01bba4804958cffd877eaceabae768884383b15c46073"


def test_what_is_added_to_an_old_index_is_cut_as_the_rest(old: Path):
    """Two kinds of terms in one index would find neither."""
    index = Bm25.open(old)
    assert index.add([Passage("more", "", "Straße 3.14"), PASSAGES[0]]) == Changes(added=1, unchanged=1)
    assert analyser_of(old) == "english-1"
    assert {h.passage_id for h in index.search(["14"], 5)[0]} == {"pi", "more"}
    assert {h.passage_id for h in Bm25.open(old).search(["Straße"], 5)[0]} == {"street", "more"}
    assert index.delete(["more"]) == 1
    assert index.fingerprint == "f9c623d37b202e643ae01bba4804958cffd877eaceabae768884383b15c46073"


def test_a_new_index_in_its_place_has_the_new_analyser(old: Path):
    """`tutelage index` on the same folder is how a user gets it."""
    index = Bm25.build(PASSAGES, old)
    assert analyser_of(old) == "english-2"
    assert ids(index.search(["काला"], 5)[0]) == ["hindi"]
    assert ids(index.search(["STRASSE"], 5)[0]) == ["street"]
    assert index.fingerprint != "f9c623d37b202e643ae01bba4804958cffd877eaceabae768884383b15c46073"


WORLD = [
    *("काला रंग", "कील लोहा", "कोल भाषा", "काली रात में काला रंग", "मूंछ", "माछ", "মাছ", "মছ ভাত", "মাছ ভাত", "தமிழ் மொழி", "தமழ"),
    *("مدينة مكة", "الكتاب", "ΑΘΗΝΑ Αθήνα", "İstanbul şehri", "Straße in Zürich", "한국어 문서", "state 3 pence"),
]  # fmt: skip


def test_scripts_with_vowel_signs_are_found_as_by_an_independent_tokenizer_and_bm25s(tmp_path: Path):
    """The query काला found कील first: both had been cut to क and ल."""
    index = Bm25.build([Passage(f"d{n:02d}", "", text) for n, text in enumerate(WORLD)], tmp_path, k1=1.2, b=0.75)
    cut = [regex.findall(r"[\p{L}\p{M}\p{N}]+", text) for text in WORLD]
    cut[WORLD.index("Straße in Zürich")] = ["strass", "zürich"]
    cut[WORLD.index("ΑΘΗΝΑ Αθήνα")] = ["αθηνα", "αθήνα"]
    cut[WORLD.index("İstanbul şehri")] = ["istanbul", "şehri"]
    cut[WORLD.index("state 3 pence")] = ["state", "3", "penc"]
    other = bm25s.BM25(k1=1.2, b=0.75, method="lucene", idf_method="lucene")
    other.index(cut, show_progress=False)
    for query, tokens in [("काला", ["काला"]), ("মাছ ভাত", ["মাছ", "ভাত"]), ("தமிழ்", ["தமிழ்"]), ("ISTANBUL", ["istanbul"])]:
        scores: Any = other.get_scores(tokens)
        theirs = {f"d{n:02d}": pytest.approx(float(score), rel=1e-5) for n, score in enumerate(scores) if score > 0}
        assert {hit.passage_id: hit.score for hit in index.search([query], 20)[0]} == theirs


def test_thai_words_are_found_inside_a_text_without_spaces(tmp_path: Path):
    """Lucene's standard tokenizer takes a whole phrase for one word; letters by themselves find it."""
    passages = [Passage("white", "", "สีขาว"), Passage("rice", "", "ข้าวผัด"), Passage("green", "", "สีเขียว")]
    index = Bm25.build(passages, tmp_path)
    assert [ids(hits)[0] for hits in index.search(["ขาว", "ข้าว", "เขียว"], 3)] == ["white", "rice", "green"]

"""Passages added to an index, replaced and deleted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from small_corpora import ids, plain_scores, queries, zipf_passages

from tutelage.errors import CorpusError, IndexFolderError
from tutelage.retrieval.bm25 import Bm25
from tutelage.retrieval.bm25.changing import Changes
from tutelage.types import Passage

PASSAGES = zipf_passages(600)


def assert_like_built_anew(index: Bm25, passages: Sequence[Passage], folder: Path) -> None:
    """The same passages, scores and fingerprint as an index that never changed."""
    anew = Bm25.build(passages, folder, workers=1)
    asked = queries(25, 15)
    assert index.search(asked, 20) == anew.search(asked, 20)
    assert (len(index), index.fingerprint) == (len(anew), anew.fingerprint)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_changed_index_is_the_one_built_of_the_same_passages(tmp_path: Path, workers: int):
    """The frequencies of tantivy count deleted passages until their part is merged, and every score would be off."""
    index = Bm25.build(PASSAGES[:400], tmp_path / "changed", workers=workers)
    new = [Passage(p.id, "other", p.text[::-1]) for p in PASSAGES[50:90]]
    assert index.add(PASSAGES[380:]) == Changes(added=200, unchanged=20)
    assert index.update([*new, *PASSAGES[:5]]) == Changes(replaced=40, unchanged=5)
    assert index.delete([p.id for p in PASSAGES[100:350]]) == 250
    kept = PASSAGES[:50] + new + PASSAGES[90:100] + PASSAGES[350:]
    assert_like_built_anew(index, kept, tmp_path / "anew")
    assert_like_built_anew(Bm25.open(tmp_path / "changed"), kept, tmp_path / "again")


def test_the_frequency_of_a_deleted_term_is_exact_at_once(tmp_path: Path):
    """With deleted passages still counted, a term gets rarer or commoner than it is."""
    rare = [Passage(f"r{i}", "", "quartz vein") for i in range(10)]
    index = Bm25.build([*rare, Passage("s", "", "quartz dust"), Passage("t", "", "dust")], tmp_path)
    index.delete([p.id for p in rare])
    plain = plain_scores([Passage("s", "", "quartz dust"), Passage("t", "", "dust")], "quartz vein dust")
    assert index.score("quartz vein dust", ["s", "t"]) == pytest.approx([plain["s"], plain["t"]], rel=1e-12)
    assert ids(index.search(["vein"], 5)[0]) == []


def test_adding_another_text_under_an_old_id_adds_nothing(tmp_path: Path):
    """Two corpora numbered from 0 would silently eat each other."""
    index = Bm25.build(PASSAGES[:10], tmp_path)
    before = index.fingerprint
    with pytest.raises(CorpusError, match="id 'p00003' is in the index with another text"):
        index.add([PASSAGES[20], Passage("p00003", "", "other")])
    assert (Bm25.open(tmp_path).fingerprint, len(index)) == (before, 10)
    assert ids(index.search(["other"], 5)[0]) == []


def test_deleting_an_unknown_passage_deletes_nothing(tmp_path: Path):
    """A misspelt id would pass for a deletion."""
    index = Bm25.build(PASSAGES[:10], tmp_path)
    with pytest.raises(IndexFolderError, match=r"passage 'zz' is not in the index .* nothing was deleted"):
        index.delete(["p00001", "zz"])
    assert len(Bm25.open(tmp_path)) == 10


def test_everything_can_be_deleted_and_added_again(tmp_path: Path):
    """An empty index has no mean length to divide by."""
    index = Bm25.build(PASSAGES[:10], tmp_path / "a")
    index.delete([p.id for p in PASSAGES[:10]])
    assert (len(index), index.search(queries(1, 5), 3)) == (0, [[]])
    index.add(PASSAGES[:10])
    assert_like_built_anew(index, PASSAGES[:10], tmp_path / "b")


def test_one_id_twice_in_a_change_is_refused(tmp_path: Path):
    """Which of the two texts counts would be chance."""
    index = Bm25.build(PASSAGES[:5], tmp_path)
    with pytest.raises(CorpusError, match="two passages have the id 'new'"):
        index.update([Passage("new", "", "one"), Passage("new", "", "two")])


def test_an_opened_index_stays_as_it_was(tmp_path: Path):
    """A study that searches while the index grows must not read half of it, nor lose the files that it reads."""
    Bm25.build(PASSAGES[:300], tmp_path)
    reader = Bm25.open(tmp_path)
    asked = queries(10, 15)
    before = reader.search(asked, 10)
    writer = Bm25.open(tmp_path)
    writer.add(PASSAGES[300:])
    writer.delete([p.id for p in PASSAGES[:100]])
    assert reader.search(asked, 10) == before
    assert reader.passages(ids(before[0])) == [p for i in ids(before[0]) for p in PASSAGES if p.id == i]


def test_the_fingerprint_says_what_is_in_the_index(tmp_path: Path):
    """A stage keyed by it must be redone when a letter changes, and not when the order of the file does."""
    first = Bm25.build(PASSAGES[:50], tmp_path / "a").fingerprint
    assert Bm25.build(PASSAGES[:50][::-1], tmp_path / "b", workers=2).fingerprint == first
    changed = [*PASSAGES[:49], Passage(PASSAGES[49].id, PASSAGES[49].title, PASSAGES[49].text + ".")]
    assert Bm25.build(changed, tmp_path / "c").fingerprint != first
    moved = [*PASSAGES[:49], Passage(PASSAGES[49].id, "", f"{PASSAGES[49].title} {PASSAGES[49].text}")]
    assert Bm25.build(moved, tmp_path / "d").fingerprint != first

"""An index's folder: what is refused, and who may write."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from small_corpora import zipf_passages

from tutelage.errors import CorpusError, IndexFolderError, TutelageError
from tutelage.retrieval.bm25 import Bm25
from tutelage.retrieval.bm25.folder import MANIFEST, writing
from tutelage.types import Passage

PASSAGES = zipf_passages(30)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Bm25.build(PASSAGES, tmp_path / "index")
    return tmp_path / "index"


def rewritten(**values: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / MANIFEST
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


def cut_short(pattern: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = next(folder.glob(pattern))
        path.write_bytes(path.read_bytes()[:-8])

    return change


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (lambda f: (f / MANIFEST).unlink(), "no index in .* Make one with `tutelage index CORPUS --out"),
    "half a manifest": (lambda f: (f / MANIFEST).write_text('{"format"'), "damaged: index.json cannot be read"),
    "someone else's index.json": (lambda f: (f / MANIFEST).write_text("[1]"), "damaged: index.json is not an index's"),
    "a later format": (rewritten(format=99), "has format 99 .* this version reads format 1 .* Make it anew"),
    "other analysis": (rewritten(analysis="german-7"), "analysis 'german-7'; this version .* Make it anew"),
    "no shards": (rewritten(shards=None), "damaged: index.json is not an index's"),
    "missing generation": (lambda f: shutil.rmtree(f / "g000001"), r"damaged: g000001/.* is missing"),
    "missing part": (lambda f: next(f.glob("g*/*/tantivy/*.idx")).unlink(), r"damaged: g000001/.*idx is missing"),
    "cut records": (cut_short("g*/*/records.bin"), "records.bin has .* bytes instead of"),
    "cut segment": (cut_short("g*/*/tantivy/*.store"), "store has .* bytes instead of"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_index_is_refused_with_what_to_do(folder: Path, damage: str):
    """A damaged index that opens gives wrong passages for weeks."""
    harm, message = DAMAGE[damage]
    harm(folder)
    with pytest.raises(IndexFolderError, match=f"(?s){message}"):
        Bm25.open(folder)


def test_bytes_changed_in_tantivys_own_list_are_an_error_of_ours(folder: Path):
    """A traceback from Rust tells a user nothing."""
    path = next(folder.glob("g*/*/tantivy/meta.json"))
    path.write_bytes(path.read_bytes().replace(b'"segments"', b'"segmentz"'))
    with pytest.raises(IndexFolderError, match="damaged"):
        Bm25.open(folder)


def test_a_folder_with_other_things_is_not_taken(tmp_path: Path):
    """`--out ~` must not become an index."""
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(IndexFolderError, match=r"holds other things \(thesis.tex\)"):
        Bm25.build(PASSAGES, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_there_is_one_writer(folder: Path):
    """Two writers at once would each throw away what the other wrote."""
    index = Bm25.open(folder)
    with writing(folder):
        for change in (
            lambda: Bm25.build(PASSAGES, folder),
            lambda: index.add([Passage("x", "", "x")]),
            lambda: index.delete(["p00000"]),
        ):
            with pytest.raises(IndexFolderError, match="another process is writing the index"):
                change()
    assert index.add([Passage("x", "", "xylem")]).added == 1


def test_a_build_that_fails_leaves_the_old_index(folder: Path):
    """The corpus's last line may be the bad one."""

    def broken():
        yield from zipf_passages(40, seed=5)
        raise CorpusError("line 41")

    before = Bm25.open(folder).fingerprint
    with pytest.raises(CorpusError, match="line 41"):
        Bm25.build(broken(), folder)
    assert Bm25.open(folder).fingerprint == before
    assert sorted(p.name for p in folder.iterdir()) == [".lock", "g000001", MANIFEST]


@pytest.mark.parametrize(
    ("passages", "message"),
    [
        ([], "the corpus is empty"),
        ([Passage("a", "", "x"), Passage("b", "", "y"), Passage("a", "", "z")], "two passages have the id 'a'"),
        ([Passage("a", "", "half \ud800 pair")], "passage 'a' cannot be indexed"),
        ([Passage("a\0", "", "x")], "a zero byte in its id"),
    ],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_what_cannot_be_indexed_is_named_and_nothing_is_left(
    tmp_path: Path, passages: list[Passage], message: str, workers: int
):
    """The processes that build shards must hand their errors on, and leave nothing that looks like an index."""
    with pytest.raises(TutelageError, match=message):
        Bm25.build(passages, tmp_path / "new", workers=workers)
    assert [p.name for p in (tmp_path / "new").iterdir()] == [".lock"]


def test_rebuilding_replaces_the_index(folder: Path):
    """Old generations must not gather on disk."""
    index = Bm25.build(zipf_passages(20, seed=9), folder)
    assert len(index) == len(Bm25.open(folder)) == 20
    assert sorted(p.name for p in folder.iterdir()) == [".lock", "g000002", MANIFEST]

"""A process that is killed while it writes an index leaves the one that was there."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_corpora import queries, zipf_passages

from tutelage.errors import IndexFolderError
from tutelage.retrieval.bm25 import Bm25
from tutelage.retrieval.bm25.folder import MANIFEST
from tutelage.types import Passage

OLD = zipf_passages(500)
NEW = [Passage(f"n{p.id}", p.title, p.text) for p in zipf_passages(6000, seed=3)]


def command(folder: Path, corpus: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "tutelage", "index", str(corpus), "--out", str(folder), *options]


def killed_after(command: list[str], seconds: float, folder: Path) -> bool:
    """Start, wait for the first trace of writing and a while longer, kill; whether it was still at work."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(folder.glob("g*.partial")):
        time.sleep(0.005)
    time.sleep(seconds)
    at_work = process.poll() is None
    process.kill()
    process.wait()
    return at_work


@pytest.mark.parametrize(
    "options", [["--add"], ["--workers", "2"], pytest.param(["--workers", "1"], marks=pytest.mark.slow)]
)
def test_a_kill_at_any_time_leaves_a_whole_index(tmp_path: Path, options: list[str]):
    """A knowledge base that took a night to build is not lost to a full queue, and half of a new one never answers."""
    corpus = tmp_path / "new.jsonl"
    corpus.write_text("".join(json.dumps({"id": p.id, "title": p.title, "text": p.text}) + "\n" for p in NEW))
    folder = tmp_path / "index"
    old = Bm25.build(OLD, folder)
    asked = queries(5, 10)
    before, fingerprint = old.search(asked, 10), old.fingerprint
    cut = 0
    for seconds in (0.0, 0.1, 0.4, 0.7):
        cut += killed_after(command(folder, corpus, *options), seconds, folder)
        opened = Bm25.open(folder)
        if opened.fingerprint != fingerprint:
            break  # it had just finished
        assert opened.search(asked, 10) == before
    assert cut
    subprocess.run(command(folder, corpus, *options), check=True, stdout=subprocess.DEVNULL)
    whole = Bm25.build([*OLD, *NEW] if "--add" in options else NEW, tmp_path / "expected")
    found = Bm25.open(folder)
    assert found.fingerprint == whole.fingerprint
    assert found.search(asked, 10) == whole.search(asked, 10)
    assert len([p for p in folder.iterdir() if p.name not in (".lock", MANIFEST)]) == 1


def test_a_worker_that_dies_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With a shard missing the index would answer from the others."""
    from tutelage.retrieval.bm25 import workers

    def passages():
        for number, passage in enumerate(NEW):
            if number == 3000:
                started[0].kill()
            yield passage

    started: list[subprocess.Popen[bytes]] = []
    start = workers.subprocess.Popen

    def noted(*args: object, **options: object) -> subprocess.Popen[bytes]:
        started.append(start(*args, **options))  # pyright: ignore[reportArgumentType, reportCallIssue]
        return started[-1]

    monkeypatch.setattr(workers.subprocess, "Popen", noted)
    with pytest.raises(IndexFolderError, match=r"built shard-000 ended with code -9\. .* memory ran out"):
        Bm25.build(passages(), tmp_path, workers=2)
    assert not (tmp_path / MANIFEST).exists()
    assert all(process.poll() is not None for process in started)


def test_a_folder_of_the_users_own_is_never_taken_for_a_generation(tmp_path: Path):
    """`--out` on a folder with years of work in g1 and g2 must not clear them away."""
    for name in ("g1", "g000001", "g000002.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.txt").write_text("precious")
        with pytest.raises(IndexFolderError, match="holds other things"):
            Bm25.build(OLD, tmp_path)
        assert (tmp_path / name / "thesis.txt").read_text() == "precious"
        (tmp_path / name / "thesis.txt").unlink()
        (tmp_path / name).rmdir()


def test_a_place_where_no_folder_can_be_is_told(tmp_path: Path):
    """A traceback says nothing of what to do."""
    (tmp_path / "file").write_text("")
    with pytest.raises(IndexFolderError, match="cannot be made"):
        Bm25.build(OLD, tmp_path / "file")

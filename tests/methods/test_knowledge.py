"""What is looked up for a study: whose words search, what is shown, what is made anew, and what is told beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_world import recipe, write_world

from tutelage.methods.check import problems


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


# --- what is told before anything runs


@pytest.mark.parametrize(
    ("knowledge", "said"),
    [
        (None, "knowledge: missing, and arm 'kard' looks something up"),
        ({"reranker": None}, "knowledge.reranker: missing, and arm 'kard' orders passages with one"),
        ({"corpus": "./nowhere.jsonl"}, "knowledge.corpus: no file or folder of that name"),
        ({"corpus": "pocket/atls"}, "did you mean 'pocket/atlas'?"),
        ({"corpus": []}, "knowledge.corpus: an empty list"),
        ({"retriever": "bm-25"}, "knowledge.retriever: no retriever 'bm-25'; did you mean 'bm25'?"),
        ({"reranker": {"base": "pocket/nono"}}, "knowledge.reranker.base: no bundled checkpoint 'pocket/nono'"),
        ({"reranker": {"path": "./nowhere"}}, "knowledge.reranker.path: model './nowhere': no such folder"),
        ({"reranker": {"base": "pocket/nano", "kind": "late"}}, "knowledge.reranker.kind: no reranker 'late'"),
        ({"corpus": None, "index": "./nowhere"}, "knowledge.index: no folder './nowhere'; `tutelage index"),
    ],
)
def test_what_a_search_lacks_is_told_once_with_its_key_before_anything_runs(world: Path, knowledge: Any, said: str):
    """A night of training must not end with the sentence that there is no such corpus."""
    (found,) = problems(recipe(world, ["kard"], knowledge=knowledge))
    assert said in found
    assert found.count("knowledge.corpus:") <= 1, "the key stands once"


@pytest.mark.parametrize("arm", ["kard-bm25", "grounded-mentor"])
def test_a_wrong_reranker_is_told_of_arms_that_can_do_without_one(world: Path, arm: str):
    """Their epochs are chosen with what it finds, so it would be loaded in the middle of the night all the same."""
    told = problems(
        recipe(world, [arm], mentor={"model": "pocket/nano"}, knowledge={"reranker": {"base": "pocket/nono"}})
    )
    assert len(told) == 1
    assert "knowledge.reranker.base" in told[0]


def test_a_folder_that_holds_no_index_is_told(world: Path, tmp_path: Path):
    """A folder of another retriever, or of anything else, is there and yet is none."""
    (tmp_path / "faiss.bin").write_bytes(b"another retriever's")
    (told,) = problems(recipe(world, ["kard-bm25"], knowledge={"corpus": None, "index": str(tmp_path)}))
    assert told.startswith("knowledge.index: no index in")


def test_arms_that_look_nothing_up_need_no_knowledge(world: Path):
    assert not problems(recipe(world, ["reasoning-distillation"], knowledge=None))

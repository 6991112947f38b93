"""What the scorer reads of each passage."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from tutelage.retrieval.bm25.records import LARGEST_COUNT, RecordFile, RecordWriter, _counted, hashed


def test_records_come_back_in_the_order_asked_for(tmp_path: Path):
    """Scores are laid beside ids by position within one read."""
    texts = {"a": ["cat", "dog", "cat"], "longer-id-é": [], "c": ["owl"]}
    with RecordWriter(tmp_path / "r", 0) as writer:
        pointers = dict(zip(texts, writer.append(list(texts), list(texts.values())), strict=True))
    records = RecordFile(tmp_path / "r", writer.size).read([pointers[i] for i in ("c", "a", "longer-id-é", "a")])
    assert [records.id(i) for i in range(4)] == ["c", "a", "longer-id-é", "a"]
    assert records.lengths_N.tolist() == [1, 3, 0, 3]
    start = int(records.starts[1])
    assert records.words[start + 1 : start + 3].tolist() == sorted(
        hashed(t) | n for t, n in Counter(texts["a"]).items()
    )


def test_passages_without_a_term_have_a_record():
    """A batch of nothing but stop words has nothing to sort."""
    assert _counted([[], []]) == (b"", [0, 0])
    assert _counted([]) == (b"", [])


def test_no_records_at_all_can_be_read(tmp_path: Path):
    """A term that stands in one shard only leaves the others with nothing to read."""
    with RecordWriter(tmp_path / "r", 0) as writer:
        writer.append(["a"], [["cat"]])
    assert len(RecordFile(tmp_path / "r", writer.size).read([]).words) == 0
    assert len(RecordFile(tmp_path / "r", 0).read([]).starts) == 0


def test_what_a_killed_writer_left_is_written_over(tmp_path: Path):
    """Half a record at the end must not shift those that come after it."""
    path = tmp_path / "r"
    with RecordWriter(path, 0) as writer:
        [first] = writer.append(["a"], [["cat"]])
    path.write_bytes(path.read_bytes() + b"\xff" * 13)
    with RecordWriter(path, writer.size) as later:
        [second] = later.append(["b"], [["dog", "dog"]])
    records = RecordFile(path, later.size).read([second, first])
    assert [records.id(0), records.id(1)] == ["b", "a"]


def test_a_count_too_large_for_its_bits_spills_into_nothing(tmp_path: Path):
    """A term more than 65,535 times in a passage must not change which term it is."""
    with RecordWriter(tmp_path / "r", 0) as writer:
        [pointer] = writer.append(["a"], [["cat"] * (LARGEST_COUNT + 5)])
    [head, word, *_] = RecordFile(tmp_path / "r", writer.size).read([pointer]).words.tolist()
    assert head >> 32 == LARGEST_COUNT + 5
    assert (word >> 16 << 16, word & LARGEST_COUNT) == (hashed("cat"), LARGEST_COUNT)


def test_hashes_fit_beside_their_counts():
    """A hash that touches the count's bits would add to it."""
    values = np.array([hashed(f"t{i}") for i in range(1000)], dtype=np.uint64)
    assert not (values & np.uint64(LARGEST_COUNT)).any()
    assert len(np.unique(values)) == 1000

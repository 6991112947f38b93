"""Whether digests were seen before."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tutelage.retrieval.seen import Seen, digests


@pytest.mark.parametrize("seed", range(5))
def test_it_says_what_a_set_says(seed: int):
    """A passage that is taken for a repetition is missing from the index."""
    chance = random.Random(seed)
    seen, plain = Seen(), set[int]()
    for _ in range(60):
        batch = [chance.randrange(3000) for _ in range(chance.randrange(120))]
        expected: list[bool] = []
        for number in batch:
            expected.append(number in plain)
            plain.add(number)
        assert seen.add(np.array(batch, dtype=np.uint64)).tolist() == expected
    assert len(seen) == len(plain)


def test_it_keeps_no_more_than_eight_bytes_a_digest():
    """36 million passages are remembered three times over beside the index that is being built."""
    seen = Seen()
    for first in range(0, 50_000, 500):
        seen.add(np.arange(first, first + 500, dtype=np.uint64))
    assert sum(run.nbytes for run in seen._runs) == 50_000 * 8
    assert len(seen._runs) < 12


def test_digests_tell_texts_apart():
    """And half a surrogate pair, which JSON can spell, does not end the reading."""
    assert len(set(digests(["a", "b", "", "\ud800", "a\0"]).tolist())) == 5

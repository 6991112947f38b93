"""The benchmark of batches compares ways of dealing the same rows, and says what each costs."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any

import pytest

from tutelage.training import trainer
from tutelage.training.batching import RandomBatches
from tutelage.types import Example

TEXTS = [Example(f"q-{n}", f"Tova has {n} beads.", f"{'one more and ' * (n % 5)}then {n} --> {n}") for n in range(12)]
CHOSEN = argparse.Namespace(model="pocket/nano", batch=2, epochs=3, learning_rate=1e-3, seeds=[1])


@pytest.fixture
def benchmark(load_benchmark: Callable[[str], Any]) -> Any:
    return load_benchmark("batching")


def test_every_way_deals_the_same_rows_in_as_many_steps(benchmark: Any):
    """Another number of rows or steps would be another training."""
    lengths = [(10, 5 * n % 37 + 1) for n in range(150)]
    for make, _ in benchmark.WAYS.values():
        batches = list(make(lengths, rows=8, seed=1))
        assert len(batches) == 19
        assert sorted(i for batch in batches for i in batch) == list(range(150))
    padding = {way: make(lengths, rows=8, seed=1) for way, (make, _) in benchmark.WAYS.items()}
    widths = {way: sum(max(lengths[i][1] for i in batch) for batch in batches) for way, batches in padding.items()}
    assert widths["by length"] < widths["pooled"] < widths["random"]


def test_it_measures_and_fills_its_table(benchmark: Any):
    """The two random ways have one loss; what the package does is put back afterwards."""
    found = benchmark.measure(TEXTS, TEXTS[:4], CHOSEN)
    assert found["random"][0].loss == pytest.approx(found["random, in parts"][0].loss, rel=1e-4)
    assert min(run.seconds for runs in found.values() for run in runs) > 0
    assert trainer.RandomBatches is RandomBatches
    shown = benchmark.table("few", TEXTS, found, CHOSEN)
    assert re.search(r"\| random \| \d+% \| \d\.\d{4} \| - \| - \| \d+\.\d\d \| 1\.00x \|", shown)
    assert re.search(r"\| by length \| \d+% \| \d\.\d{4} \| - \| [+-]\d\.\d{4} \| \d+\.\d\d \| \d+\.\d\dx \|", shown)


def test_a_difference_has_its_interval_over_seeds(benchmark: Any):
    """By hand: differences 0.1, 0.2 and 0.3, of mean 0.2 and deviation 0.1; t with two degrees of freedom is 4.3027."""
    assert benchmark.difference([1.1, 1.2, 1.3], [1.0, 1.0, 1.0]) == "+0.2000 [-0.0484, +0.4484]"

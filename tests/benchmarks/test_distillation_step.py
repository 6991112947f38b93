"""The benchmark of distillation compares two ways of one loss, and says what it compares."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tutelage.models import load, save
from tutelage.training.batching import Collator, tokenize
from tutelage.training.soft_labels import write_soft_labels
from tutelage.types import Example

TEXTS = [Example(f"q-{n}", f"Tova has {n} beads.", f"{'one more and ' * (n % 5)}then {n} --> {n}") for n in range(8)]


@pytest.fixture
def prepared(load_benchmark: Callable[[str], Any], tmp_path: Path) -> tuple[Any, Any]:
    """The benchmark and its rows, with bundled checkpoints in place of those of T5's vocabulary."""
    benchmark = load_benchmark("distillation_step")
    for name, checkpoint in (("student", "pocket/nano"), ("mentor", "pocket/mini")):
        save(load(checkpoint, device="cpu"), tmp_path / name)
    student, mentor = (load(tmp_path / name, device="cpu") for name in ("student", "mentor"))
    rows, _ = tokenize(student, TEXTS, **benchmark.LIMITS)
    write_soft_labels(mentor, TEXTS, tmp_path / "k16", **benchmark.LIMITS, top_k=16, temperature=2.0)
    return benchmark, benchmark.Prepared("few", tmp_path, TEXTS, rows, Collator(student)(rows), 30.0, 20.0)


def test_both_ways_have_one_loss_on_the_same_rows(prepared: tuple[Any, Any]):
    """A faster way to another loss would be no comparison."""
    benchmark, data = prepared
    mentor = load(data.folder / "mentor", device="cpu")
    plain, ours, _, k16 = benchmark.same_losses(data, mentor, 2.0)
    assert plain > 1
    assert ours == pytest.approx(plain, rel=1e-5)
    assert k16 == pytest.approx(plain, rel=0.1)
    assert k16 != ours


def test_the_published_way_distils_padding(prepared: tuple[Any, Any]):
    """That is what it is timed with; the table's second ratio is to the way without."""
    benchmark, data = prepared
    student, mentor = (load(data.folder / name, device="cpu").model for name in ("student", "mentor"))
    with torch.no_grad():
        padded, meant = (
            float(benchmark.published_loss(student, mentor, data.dense, 2.0, padding=padding))
            for padding in (True, False)
        )
    assert padded != pytest.approx(meant, rel=1e-3)


def test_what_is_measured_takes_time_and_fills_the_table(prepared: tuple[Any, Any]):
    """A benchmark that breaks is noticed in the night in which its numbers are needed."""
    benchmark, data = prepared
    chosen = argparse.Namespace(batch=4, steps=1, epochs=2, temperature=2.0)
    mended = benchmark.published_epoch(data.folder, data.dense, chosen, padding=False)
    measured = benchmark.measure(data, chosen)
    assert min(mended, measured.ours, measured.in_bf16, measured.memory_kept) > 0
    plain, ours, in_bf16, _ = measured.losses
    assert ours == pytest.approx(plain, rel=1e-5)
    assert in_bf16 == pytest.approx(plain, rel=0.05)
    assert 0 < measured.bytes_per_token < 200
    shown = benchmark.table([(data, measured)], chosen)
    found = rf"\| few \| {len(TEXTS)} \|.*"
    ratio = f"{data.published / measured.ours:.1f}x ({data.mended / measured.ours:.1f}x, "
    assert re.search(found + re.escape(ratio), shown)


def test_the_table_has_the_ratio_as_published_and_those_that_are_fairer(prepared: tuple[Any, Any]):
    """One number without the others would claim more than there is."""
    benchmark, data = prepared
    measured = benchmark.Measured(2.0, 4.0, 0.5, 10.0, (1.0, 1.0, 1.0, 1.1), 66.0)
    shown = benchmark.table([(data, measured)], argparse.Namespace(batch=8, temperature=2.0))
    assert "| 30 s | 20 s | 10 s | 2.0 s | 15.0x (10.0x, 5.0x) | 4.0 s | 7.5x (5.0x, 2.5x) | 0.5 s |" in shown
    assert "1.100000 (+1.0e-01) | 66 |" in shown

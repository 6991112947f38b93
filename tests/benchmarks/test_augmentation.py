"""The benchmark of a mentor's writing runs from end to end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.slow
def test_it_measures_and_prints_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], load_benchmark: Callable[[str], Any]
):
    """A number that nobody can make again is no number."""
    few = "--tasks pocket/steps --questions 8 --samples 2 --repeat 1 --epochs 1 --rationales 64"
    load_benchmark("augmentation").main([*few.split(), "--work", str(tmp_path)])
    [row] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| pocket/steps | 8 |")]
    assert row.endswith("x |")
    assert list(tmp_path.glob("pocket-steps-*/model/config.json"))

"""The benchmark of voted answers runs from end to end."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.slow
def test_it_measures_and_prints_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], load_benchmark: Callable[[str], Any]
):
    """A number that nobody can make again is no number."""
    few = "--models pocket/nano --questions 6 --rationales 32 --repeat 1 --votes 3 --new-tokens 112 --size 64x1"
    load_benchmark("inference").main([*few.split(), "--work", str(tmp_path)])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.endswith("x |")]
    assert [row.split(" | ")[0] for row in rows] == ["| pocket/nano, trained", "| T5 64x1, random"]
    for row in rows:  # one text may differ: rows that leave a batch change its shape, and that its rounding
        assert re.search(r"\| [56] and [56] of 6 \|", row), "greedy texts must be those of generate"
    assert list(tmp_path.glob("pocket-nano-*/model/config.json"))

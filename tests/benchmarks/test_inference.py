"""The benchmark of voted answers runs from end to end."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "inference.py"


@pytest.mark.slow
def test_it_measures_and_prints_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """A number that nobody can make again is no number."""
    spec = importlib.util.spec_from_file_location("inference", SCRIPT)
    assert spec
    assert spec.loader
    benchmark = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "inference", benchmark)
    spec.loader.exec_module(benchmark)
    few = "--models pocket/nano --questions 6 --rationales 32 --repeat 1 --votes 3 --new-tokens 112 --size 64x1"
    benchmark.main([*few.split(), "--work", str(tmp_path)])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.endswith("x |")]
    assert [row.split(" | ")[0] for row in rows] == ["| pocket/nano, trained", "| T5 64x1, random"]
    assert all("| 6 and 6 of 6 |" in row for row in rows), "greedy texts must be those of generate"
    assert list(tmp_path.glob("pocket-nano-*/model/config.json"))

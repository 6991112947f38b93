"""The benchmark of a mentor's writing runs from end to end."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "augmentation.py"


@pytest.mark.slow
def test_it_measures_and_prints_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """A number that nobody can make again is no number."""
    spec = importlib.util.spec_from_file_location("augmentation", SCRIPT)
    assert spec
    assert spec.loader
    benchmark = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "augmentation", benchmark)
    spec.loader.exec_module(benchmark)
    few = "--tasks pocket/steps --questions 8 --samples 2 --repeat 1 --epochs 1 --rationales 64"
    benchmark.main([*few.split(), "--work", str(tmp_path)])
    [row] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| pocket/steps | 8 |")]
    assert row.endswith("x |")
    assert list(tmp_path.glob("pocket-steps-*/model/config.json"))

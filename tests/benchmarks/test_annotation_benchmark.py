"""The benchmark of annotations runs from end to end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "annotation.py"


@pytest.mark.slow
def test_it_measures_both_clients_and_prints_a_table(tmp_path: Path):
    """A number that nobody can make again is no number."""
    few = ["--latency", "0.2", "--calls", "128", "--folder", str(tmp_path)]
    output = subprocess.run([sys.executable, str(SCRIPT), *few], check=True, capture_output=True, text=True).stdout
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in output.splitlines() if line.startswith("| 0.2")
    ]
    assert [row[:3] for row in rows] == [["0.2 s", "128", "ours"], ["0.2 s", "128", "plain"]]
    assert all(20 < float(row[3].removesuffix("%")) <= 100.5 for row in rows)
    assert all(row[5] == "64" for row in rows), "all places were taken at some moment"

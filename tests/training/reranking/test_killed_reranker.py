"""A reranker's training that is killed outright and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from small_world import NAMES, passages, rankings

from tutelage.retrieval.reranker import load_reranker
from tutelage.runs import read_jsonl

SCRIPT = """
import sys
from pathlib import Path
from small_world import NAMES, passages, rankings
from tutelage.training.reranking import RerankerSettings, train_reranker

settings = RerankerSettings(epochs=6, learning_rate=1e-3, lora=None, dimension=32, candidates=4, batch_size=4)
known = {"base": "pocket/nano", "folder": Path(sys.argv[1]), "seed": 1, "device": "cpu"}
train_reranker(rankings(NAMES[:8]), rankings(NAMES[8:10], seed=1), passages(), settings, **known)
"""


def start(folder: Path) -> subprocess.Popen[bytes]:
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], env={**os.environ, "PYTHONPATH": paths})


def result(folder: Path) -> Any:
    history = [{k: v for k, v in row.items() if k != "seconds"} for row in read_jsonl(folder / "history.jsonl")]
    found = rankings(NAMES[10:])
    candidates = [[passages()[i] for i in r.passage_ids] for r in found]
    scores = load_reranker("late-interaction", folder, device="cpu").scores([r.query for r in found], candidates)
    return history, scores, json.loads((folder / "reranker.json").read_text())["best_epoch"]


@pytest.mark.slow
def test_a_killed_training_ends_as_one_that_was_not(tmp_path: Path):
    """A machine may be taken away at any moment; the hours before must not be lost, nor end in other weights."""
    assert start(tmp_path / "whole").wait(240) == 0
    for moment in ("checkpoint-*", "best-3"):
        process, deadline = start(tmp_path / "killed"), time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline and not any((tmp_path / "killed").glob(moment)):
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start(tmp_path / "killed").wait(240) == 0
    assert result(tmp_path / "killed") == result(tmp_path / "whole")

"""A study with knowledge that is killed while it indexes, reranks or writes ends with the report of an unbroken run."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
import yaml
from small_study import raw, stages, write_world
from test_kill import command, report_of, start, wait_for

MOMENTS = {
    "while the corpus is indexed": "stages/index-*.partial",
    "when the index is there and nothing was asked": "stages/index-*/stage.json",
    "while a reranker trains": "stages/reranker-*.partial/**/checkpoint-*",
    "when the reranker is finished": "stages/reranker-*/stage.json",
    "while candidates are reordered": "vectors/*/.lock",
    "while a mentor that reads passages trains": "stages/mentor-*.partial/**/checkpoint-*",
    "while it writes": "stages/written-*.partial",
    "while it lends soft labels": "stages/soft-labels-*.partial/*",
    "while a gate is asked": "stages/gate-*.partial",
}


@pytest.mark.slow
@pytest.mark.xdist_group("kill")
@pytest.mark.timeout(900)
def test_killed_at_any_stage_a_rerun_ends_with_the_same_report(tmp_path: Path):
    """Half an index that counts as whole would lose passages for ever; a reranker begun twice is another one."""
    world = write_world(tmp_path, train=40)
    study = raw(
        world,
        ["grounded-mentor", "kard", "kard-bm25"],
        mentor={"model": "pocket/nano", "samples": 2, "epochs": 3},
        knowledge={"gate": True, "reranker": {**raw(world)["knowledge"]["reranker"], "epochs": 3}},
    )
    recipe = tmp_path / "small.yaml"
    recipe.write_text("# Killed often.\n" + yaml.safe_dump(study))
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    whole = subprocess.run(command(recipe, unbroken), capture_output=True, text=True, timeout=600)
    assert whole.returncode == 0, whole.stderr
    for moment, pattern in MOMENTS.items():
        process = start(recipe, broken)
        assert wait_for(pattern, broken, process), f"never came to: {moment}"
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    last = subprocess.run(command(recipe, broken), capture_output=True, text=True, timeout=600)
    assert last.returncode == 0, last.stderr
    assert report_of(broken) == report_of(unbroken)
    assert not list(broken.glob("stages/*.partial"))
    for name in ("index", "asked", "beside", "reranked", "silver"):
        same = {path.name for path in stages(broken, name)} == {path.name for path in stages(unbroken, name)}
        assert same, name
        for path in stages(broken, name) if name != "index" else []:
            there = (unbroken / "stages" / path.name / "hits.jsonl").read_bytes()
            assert (path / "hits.jsonl").read_bytes() == there

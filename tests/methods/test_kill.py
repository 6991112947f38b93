"""A run that is killed at any stage and started again ends with the report of an unbroken run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

RECIPE = """# A small study of the bundled task.
task: {name: pocket/steps, limit: 48}
teacher: {backend: pocket, samples: 2, error_rate: 0.2}
student: {model: pocket/nano, learning_rate: 1.0e-3, epochs: 3, batch_size: 8, max_target_tokens: 64}
mentor: {model: pocket/nano, samples: 2, temperature: 1.0}
soft_labels: {weight: 0.5}
arms: [fine-tuning, reasoning-distillation, mentor-kd]
seeds: [1, 2]
score: {dev_limit: 16, votes: 2, batch_tokens: 4096}
compute: {jobs: 2, device: cpu}
"""

MOMENTS = {
    "while the teacher's rationales are gathered": "stages/rationales-*",
    "while a student trains": "stages/student-*.partial/**/checkpoint-*",
    "when the first student is finished": "stages/student-*/training.json",
    "while a mentor writes": "stages/written-*.partial/partial.jsonl",
    "while a mentor lends its soft labels": "stages/soft-labels-*.partial/*",
    "while a student is scored": "stages/score-*.partial",
    "when the first score is there": "stages/score-*/predictions.jsonl",
}
TIMES = {"seconds", "started", "finished", "command"}


def command(recipe: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "tutelage", "run", str(recipe), "--out", str(out), "--quiet"]


def start(recipe: Path, out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(recipe, out),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a background job ignores it
    )


def without_times(value: Any) -> Any:
    """A report without what a clock says."""
    if isinstance(value, dict):
        return {key: without_times(inner) for key, inner in value.items() if key not in TIMES}
    return [without_times(inner) for inner in value] if isinstance(value, list) else value


def report_of(out: Path) -> Any:
    return without_times(json.loads((out / "report.json").read_text()))


def wait_for(pattern: str, out: Path, process: subprocess.Popen[str]) -> bool:
    """Until something matches; False when the run ended before."""
    deadline = time.monotonic() + 240
    while process.poll() is None and time.monotonic() < deadline:
        if there(pattern, out):
            return True
        time.sleep(0.01)
    return there(pattern, out)


def there(pattern: str, out: Path) -> bool:
    """Whether something matches. A folder that the run moves away meanwhile is looked for again later."""
    try:
        return any(out.glob(pattern))
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.xdist_group("kill")
@pytest.mark.timeout(900)
def test_killed_at_any_stage_a_rerun_ends_with_the_same_report(tmp_path: Path):
    """Whoever loses power in the night must not get other numbers than whoever does not."""
    recipe = tmp_path / "small.yaml"
    recipe.write_text(RECIPE)
    unbroken = tmp_path / "unbroken"
    whole = subprocess.run(command(recipe, unbroken), capture_output=True, text=True, timeout=600)
    assert whole.returncode == 0, whole.stderr
    broken = tmp_path / "broken"
    for moment, pattern in MOMENTS.items():
        process = start(recipe, broken)
        assert wait_for(pattern, broken, process), f"never came to: {moment}"
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    last = subprocess.run(command(recipe, broken), capture_output=True, text=True, timeout=600)
    assert last.returncode == 0, last.stderr
    assert report_of(broken) == report_of(unbroken)
    assert not list(broken.glob("stages/*.partial"))


@pytest.mark.slow
@pytest.mark.xdist_group("kill")
@pytest.mark.timeout(900)
def test_ctrl_c_ends_quickly_and_says_how_to_go_on(tmp_path: Path):
    """Workers that outlive Ctrl-C keep the cores busy and the folder locked."""
    recipe = tmp_path / "small.yaml"
    recipe.write_text(RECIPE)
    process = start(recipe, tmp_path / "run")
    assert wait_for(MOMENTS["while a student trains"], tmp_path / "run", process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "the same command goes on from here" in output
    assert "Traceback" not in output

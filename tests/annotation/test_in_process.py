"""A model in this process: the same store, batch by batch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from asking import request, wishes
from here_process import SlowWriter

from tutelage.annotation.annotate import Wish
from tutelage.annotation.in_process import _answer, annotate_here
from tutelage.annotation.outcomes import Fate, Outcome
from tutelage.annotation.progress import Progress
from tutelage.annotation.requests import Request
from tutelage.annotation.store import Answer, Store
from tutelage.generation.generator import Written

SCRIPT = Path(__file__).with_name("here_process.py")


def text_of(asked: Request) -> str:
    return asked.messages[0].text


def write(path: Path, wanted: list[Wish], writer: SlowWriter | None = None, seed: int = 3) -> Progress:
    with Store(path) as store:
        return annotate_here(wanted, store, lambda: writer or SlowWriter(0), text_of, seed=seed)


def answers(path: Path, wanted: list[Wish]) -> dict[str, dict[int, Answer]]:
    with Store(path) as store:
        found = store.answers([wish.request.key for wish in wanted])
    return {text_of(wish.request): found.get(wish.request.key, {}) for wish in wanted}


def test_every_text_is_stored_with_its_outcome(tmp_path: Path):
    """As a server's are: written, cut, empty."""
    wanted = [Wish(request(text), 2) for text in ("plain", "cut here", "empty")]
    done = write(tmp_path / "s", wanted)
    found = answers(tmp_path / "s", wanted)
    assert found["plain"][1] == Answer(1, Outcome.WRITTEN, "plain: 1 by 3. Answer: 1", 5)
    assert [found[text][0].outcome for text in ("cut here", "empty")] == [Outcome.CUT, Outcome.EMPTY]
    assert done.outcomes == {Outcome.WRITTEN: 2, Outcome.CUT: 2, Outcome.EMPTY: 2}
    assert (done.tokens_written, done.fates[Fate.ANSWERED]) == (30, 3)
    with Store(tmp_path / "s") as store:
        assert store.totals().tokens_written == 30


@pytest.mark.parametrize(
    ("written", "ended"),
    [
        (Written("7.", 2, finished=True), (Outcome.WRITTEN, "")),
        (Written(" ", 2, finished=True, reason="stop"), (Outcome.EMPTY, "")),
        (Written("7", 2, finished=False), (Outcome.CUT, "")),
        (Written("7", 2, finished=False, reason="length"), (Outcome.CUT, "")),
        (Written("7", 2, finished=False, reason="abort"), (Outcome.STOPPED, "abort")),
    ],
)
def test_a_text_of_an_engine_has_its_outcome(written: Written, ended: tuple[Outcome, str]):
    """An aborted text is none to learn from."""
    answer = _answer(0, written)
    assert (answer.outcome, answer.reason) == ended


def test_what_is_there_loads_no_model(tmp_path: Path):
    """A model takes minutes to load, and a GPU that may not be there any more."""
    write(tmp_path / "s", wishes(4, 2))

    def no_model() -> SlowWriter:
        raise AssertionError("nothing is missing")

    with Store(tmp_path / "s") as store:
        assert annotate_here(wishes(4, 2), store, no_model, text_of).done == 8


def test_more_samples_leave_the_first_as_they_were(tmp_path: Path):
    """Two today and three tomorrow are the three that would have been written today."""
    write(tmp_path / "s", wishes(3, 2))
    writer = SlowWriter(0)
    write(tmp_path / "s", wishes(4, 3), writer)
    write(tmp_path / "whole", wishes(4, 3))
    assert answers(tmp_path / "s", wishes(4)) == answers(tmp_path / "whole", wishes(4))
    assert all(sorted(found) == [0, 1, 2] for found in answers(tmp_path / "s", wishes(4)).values())


def test_what_another_process_has_claimed_is_left_to_it(tmp_path: Path):
    """Two processes on one store share the work."""
    wanted = wishes(4, 2)
    with Store(tmp_path / "s") as other:
        with other.writing():
            other.claim(wanted[0].request, (0, 1))
        done = write(tmp_path / "s", wanted)
        assert (done.done, done.total) == (6, 8)
        assert answers(tmp_path / "s", wanted)[text_of(wanted[0].request)] == {}


@pytest.mark.parametrize("after", [2, 10])
def test_a_killed_process_loses_at_most_a_batch(tmp_path: Path, after: int):
    """And who comes after it writes only what is missing."""
    process = subprocess.Popen([sys.executable, str(SCRIPT), str(tmp_path / "s"), "12"], stdout=subprocess.PIPE)
    assert process.stdout
    for line in process.stdout:
        if int(line) >= after:
            break
    process.kill()
    process.wait()
    process.stdout.close()
    before = sum(map(len, answers(tmp_path / "s", wishes(12)).values()))
    assert after <= before < 24
    writer = SlowWriter(0)
    assert write(tmp_path / "s", wishes(12, 2), writer).done == 24
    assert sum(map(len, writer.batches)) == 12 - before // 2
    write(tmp_path / "whole", wishes(12, 2))
    assert answers(tmp_path / "s", wishes(12)) == answers(tmp_path / "whole", wishes(12))

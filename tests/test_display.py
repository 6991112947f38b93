"""What a run prints where there is no terminal."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tutelage.display import watching
from tutelage.methods.jobs import Event


def lines(capsys: pytest.CaptureFixture[str], *events: tuple[str, Mapping[str, object]]) -> list[str]:
    with watching([], quiet=False) as take:
        for what, figures in events:
            take(Event("mentor-kd, seed 1", what, dict(figures)))
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("what", ["writes", "lends soft labels"])
def test_what_is_written_takes_a_line_a_tenth(capsys: pytest.CaptureFixture[str], what: str):
    """A thousand lines a mentor bury the one that says why a run failed; none at all looks like one that hangs."""
    found = lines(capsys, *((what, {"done": done, "total": 1000}) for done in range(1, 1001)))
    assert len(found) == 10
    assert found[0] == f"[mentor-kd, seed 1] {what} done 100  total 1000"
    assert found[-1].endswith("done 1000  total 1000")


def test_writing_again_is_told_again(capsys: pytest.CaptureFixture[str]):
    """The test questions come after the training questions."""
    once = [("writes", {"done": done, "total": 4}) for done in (1, 2, 3, 4)]
    assert len(lines(capsys, *once, *once)) == 8


def test_a_job_that_tells_of_nothing_in_all_does_not_stop_the_run(capsys: pytest.CaptureFixture[str]):
    """A mentor with samples: 0 writes nothing."""
    assert lines(capsys, ("writes", {"done": 0, "total": 0}), ("trains", {"step": 3})) == []


def test_epochs_name_the_terms_of_their_loss(capsys: pytest.CaptureFixture[str]):
    """A dictionary with sixteen decimals is no progress line."""
    figures = {"epoch": 2, "loss": 0.123456, "dev_loss": None, "terms": {"rationale": 0.1, "soft": 0.023456}}
    figures |= {"gradient_norms": {"rationale": 1.0, "soft": 2.0}, "epoch_done": True}
    assert lines(capsys, ("start", {}), ("trains", figures), ("done", {})) == [
        "[mentor-kd, seed 1] start",
        "[mentor-kd, seed 1] trains epoch 2  loss 0.1235  rationale 0.1  soft 0.02346",
        "[mentor-kd, seed 1] done",
    ]


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]):
    """Somebody asked for it."""
    with watching([], quiet=True) as take:
        take(Event("a", "start", {}))
    assert capsys.readouterr().err == ""

"""Processes that are killed, interrupted, or work side by side: no stored answer is lost, none is there twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from asking import PRICE, wishes
from peer import FakeModel

from tutelage.annotation.budget import Usage, in_money
from tutelage.annotation.outcomes import Outcome
from tutelage.annotation.store import Store

SCRIPT = Path(__file__).with_name("asking_process.py")


def start(url: str, path: Path, questions: int, samples: int, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), url, str(path), str(questions), str(samples), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def stored(path: Path, questions: int, samples: int) -> dict[tuple[str, int], str]:
    """Texts by question and sample."""
    with Store(path) as store:
        by_key = {wish.request.key: wish.request.messages[0].text for wish in wishes(questions, samples)}
        return {(by_key[k], s): a.text for k, of_key in store.answers(by_key).items() for s, a in of_key.items()}


def calls_lost(path: Path) -> int:
    with Store(path) as store:
        return store.totals().fates.get("lost with its process", 0)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("questions", "kills"), [(600, 3), pytest.param(9000, 50, marks=pytest.mark.slow)])
def test_killed_at_random_moments_nothing_that_was_stored_is_lost_or_doubled(
    tmp_path: Path, questions: int, kills: int
):
    """A laptop that runs out of power must not cost the answers of the day.

    Fifty moments hit what three miss: between a claim and its call, between an answer and its commit. Every text that
    the server writes is another one, so a text that changes or stands twice is seen.
    """
    path, rng = tmp_path / "s", random.Random(kills)
    known: dict[tuple[str, int], str] = {}
    with FakeModel(latency=0.06) as model:
        for _ in range(kills):
            process = start(model.url, path, questions, 2)
            time.sleep(0.5 + rng.random() * 0.7)  # from before the first call to somewhere in the middle
            process.kill()
            process.communicate()
            now = stored(path, questions, 2)
            assert known.items() <= now.items()
            known = now
        last = start(model.url, path, questions, 2)
        assert last.communicate(timeout=120)[0].endswith("finished\n")
    final = stored(path, questions, 2)
    assert known.items() <= final.items()
    assert len(final) == 2 * questions == len(set(final.values()))
    with Store(path) as store:
        totals = store.totals()
    assert len(known) < 2 * questions or kills < 3  # otherwise the last kills met nothing
    assert totals.fates["answered"] == questions
    assert totals.reserved == 0
    written = sum(model.texts.values()) // 2
    assert written - questions <= totals.fates.get("lost with its process", 0)  # each answer too many is on the books
    assert model.calls <= sum(totals.fates.values())
    assert in_money(PRICE.of(Usage(model.charged_read, model.charged_written))) <= in_money(
        totals.spent + totals.perhaps
    )


def test_two_processes_share_the_work_and_pay_once(tmp_path: Path):
    """Two terminals on one recipe are easily had."""
    with FakeModel(latency=0.01) as model:
        processes = [start(model.url, tmp_path / "s", 150, 2) for _ in range(2)]
        outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert all(output.endswith("finished\n") for output in outputs)
    assert len(stored(tmp_path / "s", 150, 2)) == 300
    assert (model.calls, model.texts.total()) == (150, 300)


def test_two_processes_keep_one_budget(tmp_path: Path):
    """Each by itself would spend it whole."""
    with FakeModel(latency=0.01) as model:
        processes = [start(model.url, tmp_path / "s", 400, 2, "0.012") for _ in range(2)]
        outputs = [process.communicate(timeout=60)[0] for process in processes]
        assert all(output.endswith("over\n") for output in outputs)
        assert 0.008 < in_money(PRICE.of(Usage(model.charged_read, model.charged_written))) <= 0.012


def test_what_a_killed_process_left_is_done_by_one_that_is_waiting_for_it(tmp_path: Path):
    """Its claims must not keep the other waiting for ever."""
    with FakeModel(latency=0.5) as model:
        first = start(model.url, tmp_path / "s", 16, 1)
        while model.under_way < 16:
            time.sleep(0.01)
        second = start(model.url, tmp_path / "s", 16, 1)
        time.sleep(0.2)
        first.kill()
        first.communicate()
        assert second.communicate(timeout=60)[0].endswith("finished\n")
    assert len(stored(tmp_path / "s", 16, 1)) == 16


def test_ctrl_c_waits_for_what_is_under_way(tmp_path: Path):
    """It is paid for, and in a few seconds it would have been there."""
    with FakeModel(latency=1.0) as model:
        process = start(model.url, tmp_path / "s", 500, 1)
        while model.under_way < 16:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=30)[0]
    assert "KeyboardInterrupt" in output
    assert len(stored(tmp_path / "s", 500, 1)) == model.calls == 16
    assert calls_lost(tmp_path / "s") == 0


def test_a_second_ctrl_c_waits_for_nothing(tmp_path: Path):
    """And what it dropped stands on the books as lost."""
    with FakeModel(latency=20.0) as model:
        process = start(model.url, tmp_path / "s", 500, 1)
        while model.under_way < 16:
            time.sleep(0.01)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=15)
        assert time.monotonic() - began < 10
    assert stored(tmp_path / "s", 500, 1) == {}
    assert calls_lost(tmp_path / "s") == 16


@pytest.mark.slow
def test_a_store_written_by_many_hands_is_whole(tmp_path: Path):
    """SQLite itself says so."""
    with FakeModel() as model:
        for process in [start(model.url, tmp_path / "s", 200, 1) for _ in range(3)]:
            process.communicate(timeout=60)
    with Store(tmp_path / "s") as store:
        assert store._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        counts = Counter(
            a.outcome for each in store.answers([w.request.key for w in wishes(200)]).values() for a in each.values()
        )
    assert counts == {Outcome.WRITTEN: 200}

"""The store: what is in it stays, nothing is in it twice, and two processes share it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from asking import PRICE, request

from tutelage.annotation.outcomes import RETRIED, Fate, Outcome
from tutelage.annotation.store import Answer, Call, Store
from tutelage.errors import RunError

KEY = request().key


def claimed(store: Store, samples: tuple[int, ...], **how: Any):
    with store.writing():
        return store.claim(request(), samples, **how)


def answer(store: Store, sample: int, outcome: Outcome = Outcome.WRITTEN, **call: Any) -> None:
    claimed(store, (sample,))
    with store.writing():
        store.record(KEY, (sample,), Call(Fate.ANSWERED, **call), [Answer(sample, outcome, f"text {sample}", 3)])


def test_what_was_answered_is_there_after_opening_again(tmp_path: Path):
    """It was paid for."""
    with Store(tmp_path / "s") as store:
        answer(store, 0, tokens_read=10, tokens_written=3, spent=16, body="{...}")
        answer(store, 1, Outcome.CUT)
    with Store(tmp_path / "s") as store:
        expected = {0: Answer(0, Outcome.WRITTEN, "text 0", 3), 1: Answer(1, Outcome.CUT, "text 1", 3)}
        assert store.answers([KEY]) == {KEY: expected}
        totals = store.totals()
        assert (totals.fates, totals.tokens_read, totals.tokens_written) == ({"answered": 2}, 10, 3)
        assert (totals.spent, totals.perhaps, totals.reserved) == (16, 0, 0)
        assert store.answers(["another"]) == {}


def test_it_waits_for_the_disk(tmp_path: Path):
    """Without it an answer that counted as stored is gone after a power cut."""
    with Store(tmp_path / "s") as store:
        assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_sample_is_claimed_once(tmp_path: Path):
    """Two processes that ask for the same sample pay for it twice."""
    with Store(tmp_path / "s") as one, Store(tmp_path / "s") as two:
        answer(one, 0)
        assert claimed(one, (0, 1)).granted == (1,)
        found = claimed(two, (0, 1, 2))
        assert (found.granted, found.answered, found.elsewhere) == ((2,), (0,), (1,))


def test_a_sample_is_stored_once(tmp_path: Path):
    """A second answer to the same sample must not take the place of the first, on which a study may stand."""
    with Store(tmp_path / "s") as store:
        answer(store, 0)
        with store.writing():
            store.record(KEY, (0,), Call(Fate.ANSWERED), [Answer(0, Outcome.WRITTEN, "another")])
        assert store.answers([KEY])[KEY][0].text == "text 0"


def test_a_budget_holds_for_calls_under_way_of_all_processes(tmp_path: Path):
    """Each of two processes that keeps a budget by itself keeps twice the budget."""
    most = PRICE.most(request(), 1)
    with Store(tmp_path / "s") as one, Store(tmp_path / "s") as two:
        how = {"price": lambda n: PRICE.most(request(), n), "budget": 2 * most}
        assert claimed(one, (0,), **how).granted == (0,)
        assert claimed(two, (1,), **how).granted == (1,)
        assert claimed(two, (2,), **how).too_dear == (2,)
        assert one.committed() == 2 * most
        with one.writing():
            one.record(KEY, (0,), Call(Fate.ANSWERED, spent=most // 4), [])
        assert claimed(two, (2,), **how).too_dear == (2,)
        with two.writing():
            two.record(KEY, (1,), Call(Fate.SLOWED), [])
        assert claimed(two, (2,), **how).granted == (2,)


def claim_and_die(path: str) -> None:
    store = Store(Path(path))
    claimed(store, (0, 1), price=lambda n: 100 * n)
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_process_was_asking_for_is_lost_at_its_highest_price(tmp_path: Path):
    """The server may have charged for it; a budget that forgets it is exceeded at every kill."""
    path = tmp_path / "s"
    process = multiprocessing.get_context("spawn").Process(target=claim_and_die, args=(str(path),))
    process.start()
    process.join()
    assert process.exitcode == -9
    with Store(path) as store:
        totals = store.totals()
        assert (totals.fates, totals.perhaps, totals.reserved) == ({"lost with its process": 1}, 200, 0)
        assert claimed(store, (0, 1)).granted == (0, 1)


def test_a_living_process_keeps_its_claims(tmp_path: Path):
    """It is still waiting for the answers."""
    with Store(tmp_path / "s") as one:
        claimed(one, (0,))
        with Store(tmp_path / "s") as two:
            assert claimed(two, (0,)).elsewhere == (0,)


def test_failed_samples_are_forgotten_on_request_and_their_calls_are_not(tmp_path: Path):
    """What the tries have cost stays on the books."""
    with Store(tmp_path / "s") as store:
        for sample, outcome in enumerate(Outcome):
            answer(store, sample, outcome, spent=5)
        assert store.forget([KEY], RETRIED) == 5
        assert {a.outcome for a in store.answers([KEY])[KEY].values()} == {Outcome.WRITTEN, Outcome.CUT}
        assert store.totals().spent == 5 * len(Outcome)
        assert store.forget(["another"], RETRIED) == 0


def test_a_transaction_is_whole_or_not_there(tmp_path: Path):
    """An answer without its cost, or a cost without its answer, makes the books wrong for ever."""
    with Store(tmp_path / "s") as store:
        claimed(store, (0,))
        answered = [Answer(0, Outcome.WRITTEN, "x"), Answer(1, Outcome.WRITTEN, None)]  # type: ignore[arg-type]
        with pytest.raises(RunError, match="NOT NULL"), store.writing():
            store.record(KEY, (0,), Call(Fate.ANSWERED, spent=7), answered)
        assert store.answers([KEY]) == {}
        assert store.totals().spent == 0
        assert claimed(store, (0,)).elsewhere == (0,)


def test_a_full_disk_is_told_and_loses_nothing_that_was_there(tmp_path: Path):
    """SQLite is told that the disk ends here."""
    with Store(tmp_path / "s") as store:
        answer(store, 0)
        [pages] = store._db.execute("PRAGMA page_count").fetchone()
        store._db.execute(f"PRAGMA max_page_count = {pages}")
        claimed(store, (1,))
        with pytest.raises(RunError, match="disk is full"), store.writing():
            store.record(
                KEY, (1,), Call(Fate.ANSWERED, body="x" * 100_000), [Answer(1, Outcome.WRITTEN, "x" * 100_000)]
            )
    with Store(tmp_path / "s") as store:
        assert list(store.answers([KEY])[KEY]) == [0]


def test_another_file_is_refused(tmp_path: Path):
    """A store that were made over it would destroy it."""
    (tmp_path / "s").write_text("my notes, which are long enough to be taken for something else\n" * 50)
    with pytest.raises(RunError, match="not a store"):
        Store(tmp_path / "s")
    assert (tmp_path / "s").read_text().startswith("my notes")


def test_another_version_is_refused(tmp_path: Path):
    """A store of a later version may mean other things by the same names."""
    Store(tmp_path / "s").close()
    with sqlite3.connect(tmp_path / "s") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(RunError, match="another version"):
        Store(tmp_path / "s")


def test_a_store_of_the_first_version_learns_why_its_texts_ended(tmp_path: Path):
    """It took any reason but `length` for a whole text, and such texts would go on being taught."""
    reasons = ["stop", "max_tokens", None, "error"]
    body = json.dumps({"choices": [{"finish_reason": reason, "message": {"content": "t"}} for reason in reasons]})
    texts = [Answer(sample, Outcome.WRITTEN, f"text {sample}") for sample in (3, 1, 2, 0)]
    with Store(tmp_path / "s") as store, store.writing():
        store.claim(request(), (3, 1, 2, 0))
        store.record(KEY, (3, 1, 2, 0), Call(Fate.ANSWERED, body=body), texts)
        store.claim(request(), (4,))
        store.record(KEY, (4,), Call(Fate.ANSWERED, body="<html>"), [Answer(4, Outcome.WRITTEN, "text 4")])
        store.claim(request(), (5,))
        store.record(KEY, (5,), Call(Fate.ANSWERED), [Answer(5, Outcome.CUT, "text 5")])
    with sqlite3.connect(tmp_path / "s") as db:
        db.execute("ALTER TABLE answers DROP COLUMN reason")
        db.execute("PRAGMA user_version = 1")
    db.close()
    for _ in range(2):
        with Store(tmp_path / "s") as store:
            found = store.answers([KEY])[KEY]
            assert {n: (a.outcome, a.reason, a.text) for n, a in found.items()} == {
                0: (Outcome.STOPPED, "error", "text 0"),
                1: (Outcome.CUT, "max_tokens", "text 1"),
                2: (Outcome.WRITTEN, "", "text 2"),
                3: (Outcome.WRITTEN, "", "text 3"),
                4: (Outcome.WRITTEN, "", "text 4"),
                5: (Outcome.CUT, "", "text 5"),
            }


def test_few_and_many_requests_are_found_alike(tmp_path: Path):
    """A few are looked up one by one; whoever looks for thousands reads the table once."""
    keys = [request(f"question {n}").key for n in range(150)]
    with Store(tmp_path / "s") as store:
        with store.writing():
            for n, key in enumerate(keys):
                store.record(key, (0,), Call(Fate.ANSWERED), [Answer(0, Outcome.WRITTEN, f"text {n}")])
        many, few = store.answers(keys[:120]), store.answers(keys[:20])
    assert {key: found[0].text for key, found in many.items()} == {key: f"text {n}" for n, key in enumerate(keys[:120])}
    assert few == {key: many[key] for key in keys[:20]}


def test_a_store_grows_in_proportion_to_its_answers(tmp_path: Path):
    """The answer as it came is kept besides its texts: unpacked, in rows that spill, it took twice the room."""
    texts = [" ".join(str((n * 7919 + k) % 10007) for k in range(300)) for n in range(60)]

    def size(count: int) -> int:
        with Store(tmp_path / str(count)) as store, store.writing():
            for n, text in enumerate(texts[:count]):
                body = '{"choices": [{"message": {"content": "' + text + '"}}]}'
                store.record(str(n), (0,), Call(Fate.ANSWERED, body=body), [Answer(0, Outcome.WRITTEN, text)])
        return (tmp_path / str(count)).stat().st_size

    letters = sum(map(len, texts[30:]))
    assert 1.0 < (size(60) - size(30)) / letters < 2.0

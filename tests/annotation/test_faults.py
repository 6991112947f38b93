"""A whole annotation through a network that fails: everything is answered, counted, and within its budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from asking import FAST, PRICE, ask, request, wishes
from peer import Answer, FakeModel, Received, as_json
from proxy import KINDS, Proxy

from tutelage.annotation.annotate import Finished, Wish
from tutelage.annotation.budget import Usage, in_money
from tutelage.annotation.outcomes import RETRIED, Fate, Outcome
from tutelage.annotation.progress import Progress
from tutelage.annotation.round import HOPELESS, Manner
from tutelage.annotation.store import Answer as StoredAnswer
from tutelage.annotation.store import Store, Totals
from tutelage.errors import RunError, TeacherError

LOST = set(KINDS) - {"cut", "slow"}
"""Kinds of faults after which no answer arrives."""


def answers(path: Path, wanted: list[Wish]):
    with Store(path) as store:
        return store.answers([wish.request.key for wish in wanted]), store.totals(), store.committed()


def charged(model: FakeModel) -> float:
    """What the server itself would put on the bill: also for answers that never arrived."""
    return in_money(PRICE.of(Usage(model.charged_read, model.charged_written)))


class Books(NamedTuple):
    """What the client wrote down of an annotation, beside what proxy and server did."""

    done: Finished
    found: dict[str, dict[int, StoredAnswer]]
    totals: Totals
    committed: float
    charged: float
    calls: int
    spoilt: Counter[str]


def through_faults(path: Path, questions: int, seed: int) -> Books:
    """Annotate through the proxy."""
    wanted = wishes(questions)
    with FakeModel() as model, Proxy(model.url, seed=seed) as proxy:
        done = ask(proxy.url, path, wanted, manner=Manner(concurrency=64, backoff=0.01, retries=8))
    found, totals, committed = answers(path, wanted)
    return Books(done, found, totals, in_money(committed), charged(model), len(proxy.received), proxy.spoilt)


def outcomes_of(books: Books) -> Counter[Outcome]:
    return Counter(answer.outcome for of_key in books.found.values() for answer in of_key.values())


def fates_by_proxy(books: Books) -> dict[str, int]:
    """What the proxy did, in the words of the store."""
    spoilt = books.spoilt
    fates = {
        "answered": books.calls - sum(spoilt[kind] for kind in LOST),
        "rate limited": spoilt["429"],
        "server error": spoilt["500"],
        "connection dropped": spoilt["dropped before"] + spoilt["dropped after"],
        "answer not readable": spoilt["garbage"],
    }
    return {fate: count for fate, count in fates.items() if count}


def test_all_samples_are_answered_through_faults_and_every_call_is_accounted_for(tmp_path: Path):
    """An answer that is silently dropped, or a call that no book knows, is money nobody sees."""
    books = through_faults(tmp_path / "s", 100, seed=1)
    assert {len(of_key) for of_key in books.found.values()} == {3}
    assert outcomes_of(books).total() == 300
    assert outcomes_of(books) == books.done.progress.outcomes
    assert outcomes_of(books)[Outcome.CUT] == 3 * books.spoilt["cut"]
    assert sum(books.totals.fates.values()) == books.calls == books.done.progress.fates.total()
    assert books.totals.fates == fates_by_proxy(books)
    assert books.charged <= books.committed
    assert books.totals.reserved == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_thousand_questions_with_three_samples_through_faults(tmp_path: Path, seed: int):
    """The size at which rare faults meet."""
    books = through_faults(tmp_path / "s", 1000, seed)
    assert outcomes_of(books).total() == 3000
    assert outcomes_of(books)[Outcome.CUT] == 3 * books.spoilt["cut"]
    assert sum(books.totals.fates.values()) == books.calls
    assert books.totals.fates == fates_by_proxy(books)
    assert books.charged <= books.committed


@pytest.mark.parametrize("seed", range(3))
def test_a_budget_is_never_exceeded_not_even_by_answers_that_never_arrived(tmp_path: Path, seed: int):
    """The bill is the server's: it also names the answers that a dropped connection swallowed."""
    wanted, budget = wishes(80), 0.006
    with FakeModel() as model, Proxy(model.url, seed=seed) as proxy:
        first = ask(proxy.url, tmp_path / "s", wanted, budget=budget)
        assert first.over_budget
        assert 0 < first.progress.done < 240
        assert charged(model) <= budget
        _, totals, committed = answers(tmp_path / "s", wanted)
        assert totals.reserved == 0
        assert charged(model) <= in_money(committed) <= budget
        again = ask(proxy.url, tmp_path / "s", wanted, budget=budget)
        assert again.over_budget
        assert charged(model) <= budget
        rest = ask(proxy.url, tmp_path / "s", wanted, budget=10.0)
    assert not rest.over_budget
    assert rest.progress.done == 240


def test_a_budget_is_used_and_not_only_kept(tmp_path: Path):
    """Reservations at the highest price must not leave most of the money unspent."""
    wanted = wishes(400, samples=1)
    most = in_money(PRICE.most(wanted[0].request, 1))
    with FakeModel() as model:
        done = ask(model.url, tmp_path / "s", wanted, budget=6 * most)
        assert done.over_budget
        assert 5 * most <= charged(model) <= 6 * most


def test_a_second_time_only_what_is_missing_is_asked(tmp_path: Path):
    """Whoever runs a command again must not pay again."""
    with FakeModel() as model:
        ask(model.url, tmp_path / "s", wishes(10, 2))
        calls = model.calls
        done = ask(model.url, tmp_path / "s", wishes(10, 2))
        assert (model.calls, done.progress.done, done.progress.before) == (calls, 20, 20)
        more = ask(model.url, tmp_path / "s", wishes(12, 3))
        assert (model.calls, more.progress.done) == (calls + 12, 36)
        assert {r.json.get("n", 1) for r in model.received[calls:]} == {1, 3}


def test_a_server_that_writes_one_text_a_call_is_asked_again(tmp_path: Path):
    """Transformers serve passes over `n` without a word, and others refuse it."""
    with FakeModel(writes_several=False) as model:
        done = ask(model.url, tmp_path / "s", wishes(30))
    assert done.progress.outcomes == {Outcome.WRITTEN: 90}
    assert model.calls == 90
    assert sum(r.json.get("n", 1) > 1 for r in model.received) <= 2 * FAST.concurrency


async def refuse_several(received: Received) -> Answer | None:
    return as_json({"error": {"message": "n must be 1"}}, 400) if received.json.get("n", 1) > 1 else None


def test_a_server_that_refuses_several_texts_a_call_is_asked_for_one(tmp_path: Path):
    """The refusal says nothing about the question."""
    with FakeModel(before=refuse_several) as model:
        done = ask(model.url, tmp_path / "s", wishes(30))
    assert done.progress.outcomes == {Outcome.WRITTEN: 90}


def rejecting(word: str) -> Callable[[Received], Awaitable[Answer | None]]:
    async def before(received: Received) -> Answer | None:
        return as_json({"error": {"message": "too long"}}, 400) if word in received.body.decode() else None

    return before


def test_a_rejected_question_is_recorded_and_the_others_go_on(tmp_path: Path):
    """One prompt that is too long must not end a night's work, nor vanish."""
    wanted = wishes(30, 1)
    with FakeModel(before=rejecting("question 7")) as model:
        done = ask(model.url, tmp_path / "s", wanted)
        assert done.progress.outcomes == {Outcome.WRITTEN: 29, Outcome.REJECTED: 1}
        found, _, _ = answers(tmp_path / "s", wanted)
        assert found[wanted[7].request.key][0].text == "400: too long"
        calls = model.calls
        ask(model.url, tmp_path / "s", wanted)
        assert model.calls == calls
        model.before = None
        with Store(tmp_path / "s") as store:
            assert store.forget({wish.request.key for wish in wanted}, RETRIED) == 1
        assert ask(model.url, tmp_path / "s", wanted).progress.outcomes == {Outcome.WRITTEN: 30}
        assert model.calls == calls + 1


@pytest.mark.parametrize(("status", "word"), [(401, "api_key_env"), (404, "teacher.model"), (402, "credit")])
def test_no_access_stops_at_once_and_says_what_to_do(tmp_path: Path, status: int, word: str):
    """A thousand calls with a wrong key look like an attack."""

    async def deny(_: Received) -> Answer:
        return as_json({"error": {"message": "no"}}, status)

    with FakeModel(before=deny) as model:
        with pytest.raises(TeacherError, match=word):
            ask(model.url, tmp_path / "s", wishes(500))
        assert model.calls <= FAST.concurrency
    found, totals, _ = answers(tmp_path / "s", wishes(500))
    assert found == {}
    assert sum(totals.fates.values()) == model.calls


def test_a_server_that_is_gone_fails_no_samples(tmp_path: Path):
    """After a night without a network, the morning's run must ask for everything that is missing."""
    with FakeModel() as model:
        pass
    with pytest.raises(TeacherError, match=r"Is the server up"):
        ask(model.url, tmp_path / "s", wishes(50), manner=Manner(concurrency=4, backoff=0.001, retries=1))
    found, totals, committed = answers(tmp_path / "s", wishes(50))
    assert found == {}
    assert totals.fates["server not reached"] >= HOPELESS
    assert committed == 0


def test_a_server_that_is_gone_fails_not_even_the_last_few_samples(tmp_path: Path):
    """Fewer than it takes to call the server gone; a failed sample is asked for again only on request."""
    with FakeModel() as model:
        ask(model.url, tmp_path / "s", wishes(20))
    with pytest.raises(TeacherError, match=r"Is the server up"):
        ask(model.url, tmp_path / "s", wishes(22), manner=Manner(backoff=0.001, retries=1))
    assert len(answers(tmp_path / "s", wishes(22))[0]) == 20


def test_a_server_that_rejects_everything_is_told_before_all_is_asked(tmp_path: Path):
    """A misspelt `extra` field is one mistake, not a thousand rejected questions."""
    with FakeModel(before=rejecting("question")) as model:
        with pytest.raises(TeacherError, match="too long"):
            ask(model.url, tmp_path / "s", wishes(500, 1))
        assert model.calls <= HOPELESS + FAST.concurrency
    assert answers(tmp_path / "s", wishes(500, 1))[0] == {}


def test_a_question_that_fails_every_time_is_recorded_as_failed(tmp_path: Path):
    """Retries are bounded; the sample is counted, and asked for again only on request."""

    async def fail(received: Received) -> Answer | None:
        return as_json({}, 500) if "question 3" in received.body.decode() else None

    wanted = wishes(10, 2)
    with FakeModel(before=fail) as model:
        done = ask(model.url, tmp_path / "s", wanted, manner=Manner(concurrency=4, backoff=0.001, retries=3))
        assert done.progress.outcomes == {Outcome.WRITTEN: 18, Outcome.FAILED: 2}
        assert done.progress.fates[Fate.BROKEN] == 4
        calls = model.calls
        ask(model.url, tmp_path / "s", wanted)
        assert model.calls == calls


def test_a_rate_limit_slows_the_client_down(tmp_path: Path):
    """A server that takes four at a time is not helped by sixty-four that ask again and again."""

    async def four(_: Received) -> Answer | None:
        return as_json({}, 429, **{"retry-after-ms": "30"}) if model.under_way > 4 else None

    seen: list[int] = []

    def watch(progress: Progress) -> None:
        seen.append(progress.allowed)

    with FakeModel(before=four, latency=0.03) as model:
        manner = Manner(concurrency=64, backoff=0.01, retries=30)
        done = ask(model.url, tmp_path / "s", wishes(150, 1), manner=manner, tell=watch)
    assert done.progress.outcomes == {Outcome.WRITTEN: 150}
    assert min(seen) <= 8
    assert done.progress.fates[Fate.SLOWED] < 300  # sixty-four that never slow down are turned away 2,000 times


def test_endings_of_every_kind_are_outcomes(tmp_path: Path):
    """None is a crash, none is dropped."""
    said = {0: ("a text", "stop"), 1: ("a te", "length"), 2: ("", "stop"), 3: ("", "content_filter")}
    with FakeModel(lambda prompt, n: said[int(prompt.split()[1]) % 4]) as model:
        done = ask(model.url, tmp_path / "s", wishes(8, 1))
    assert done.progress.outcomes == dict.fromkeys((Outcome.WRITTEN, Outcome.CUT, Outcome.EMPTY, Outcome.REFUSED), 2)


def test_a_full_disk_ends_it_and_loses_nothing_that_was_stored(tmp_path: Path):
    """What arrives while nothing can be stored is lost, at most as much as was under way."""
    wanted = wishes(200, 1)
    with FakeModel(lambda prompt, n: "x" * 5000) as model, Store(tmp_path / "s") as store:
        from tutelage.annotation.annotate import annotate
        from tutelage.annotation.client import Client

        store._db.execute("PRAGMA max_page_count = 120")
        with pytest.raises(RunError, match="disk is full"):
            annotate(wanted, store, lambda: Client(base_url=model.url), manner=FAST)
        store._db.execute("PRAGMA max_page_count = 1000000")
        kept = len(store.answers([wish.request.key for wish in wanted]))
        assert 0 < kept < 200
    with FakeModel() as model:
        done = ask(model.url, tmp_path / "s", wanted, price=None)
        assert done.progress.before == kept
        assert model.calls == 200 - kept


def test_no_secret_is_stored(tmp_path: Path):
    """Stores are shared, backed up and attached to reports."""
    key = "sk-test-0123456789abcdefghijklmnop"

    async def say(received: Received) -> Answer | None:
        if "question 1" not in received.body.decode():
            return None
        return as_json({"error": {"message": f"odd request with {received.headers['authorization']}"}}, 400)

    with FakeModel(before=say) as model:
        ask(model.url, tmp_path / "s", wishes(20, 1), key=key)
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or key.encode() not in path.read_bytes()


def test_progress_tells_all_of_it_in_one_line(tmp_path: Path):
    """Whoever waits for hours wants to know for how long, and for how much."""
    lines: list[str] = []
    with FakeModel(latency=0.05) as model:
        ask(
            model.url,
            tmp_path / "s",
            [Wish(request(f"q{n}"), 1) for n in range(120)],
            tell=lambda p: lines.append(p.line()),
        )
    for part in ("/120", "/s", "tokens", "USD", "left", "under way of 16"):
        assert any(part in line for line in lines)
    assert lines[-1].startswith("120/120")


def test_a_server_that_counts_more_than_can_be_ends_an_annotation_with_a_budget(tmp_path: Path):
    """It does not know the limit, or puts pages in front: from there on no reservation is the highest price."""
    with FakeModel(lambda prompt, n: "x" * 4000) as model:
        with pytest.raises(TeacherError, match=r"1,001 written for a call that can have at most .* and 50,"):
            ask(model.url, tmp_path / "s", wishes(300, 1), budget=10.0)
        assert model.calls <= FAST.concurrency
        done = ask(model.url, tmp_path / "s", wishes(300, 1))
        assert done.progress.outcomes == {Outcome.WRITTEN: 300}

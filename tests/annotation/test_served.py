"""A server that is not ours, `transformers serve` with a bundled checkpoint: what it answers is what we store."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from asking import PRICE, ask
from proxy import Proxy
from served import Served

from tutelage.annotation.annotate import Wish
from tutelage.annotation.budget import Usage, in_money
from tutelage.annotation.client import Client, Fault, Reply
from tutelage.annotation.outcomes import Outcome
from tutelage.annotation.requests import Endpoint, Message, Request
from tutelage.annotation.round import Manner
from tutelage.annotation.store import Store
from tutelage.errors import TeacherError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SUMS = [(a, b) for a in range(10, 40) for b in (2, 3, 4)]


def asked(served: Served, a: int, b: int, endpoint: Endpoint = "chat", **sampling: Any) -> Request:
    values = {"temperature": 0.7, "max_tokens": 24, **sampling}
    return Request(served.model, (Message("user", f"work out {a} + {b}"),), values, endpoint)


def wanted(served: Served, count: int, samples: int, **how: Any) -> list[Wish]:
    return [Wish(asked(served, a, b, **how), samples) for a, b in SUMS[:count]]


def stored(path: Path, wishes: list[Wish]):
    with Store(path) as store:
        return store.answers([wish.request.key for wish in wishes]), store.totals()


def one(served: Served, request: Request, url: str | None = None) -> Reply | Fault:
    async def call() -> Reply | Fault:
        async with Client(base_url=url or served.url, timeout=60) as client:
            return await client.ask(request, (0,))

    return asyncio.run(call())


@pytest.mark.parametrize("endpoint", ["chat", "completion"])
def test_every_sample_of_a_real_server_is_stored_with_its_outcome_and_tokens(
    served: Served, tmp_path: Path, endpoint: Endpoint
):
    """It writes one text a call whatever `n` says, so that a client that trusts `n` loses two of three samples."""
    wishes = wanted(served, 12, 3, endpoint=endpoint)
    done = ask(served.url, tmp_path / "s", wishes, timeout=120.0)
    found, totals = stored(tmp_path / "s", wishes)
    outcomes = Counter(answer.outcome for of_key in found.values() for answer in of_key.values())
    assert {key: sorted(of_key) for key, of_key in found.items()} == {w.request.key: [0, 1, 2] for w in wishes}
    assert outcomes == done.progress.outcomes
    assert outcomes.total() == totals.fates["answered"] == sum(totals.fates.values()) == 36
    assert totals.tokens_written == sum(a.tokens for of_key in found.values() for a in of_key.values()) > 0
    assert totals.spent == PRICE.of(Usage(totals.tokens_read, totals.tokens_written))


def test_tokens_are_those_of_its_tokenizer(served: Served):
    """The bill is written by the server's count."""
    from transformers import AutoTokenizer

    reply = one(served, asked(served, 12, 5))
    assert isinstance(reply, Reply)
    assert reply.usage
    tokenizer = AutoTokenizer.from_pretrained(served.model)
    assert reply.usage.read == len(tokenizer("work out 12 + 5\n").input_ids)
    written = len(tokenizer(reply.choices[0].text).input_ids)
    assert written <= reply.usage.written <= written + 2  # the end mark


def test_most_of_its_sums_are_right_and_samples_differ(served: Served, tmp_path: Path):
    """A teacher that is asked in the wrong shape writes as fluently, and nothing but nonsense."""
    wishes = wanted(served, 30, 3)
    ask(served.url, tmp_path / "s", wishes, timeout=120.0)
    found, _ = stored(tmp_path / "s", wishes)
    texts = [[found[wish.request.key][s].text for s in range(3)] for wish in wishes]
    right = sum(f"= {a + b}" in text for (a, b), mine in zip(SUMS, texts, strict=False) for text in mine)
    assert right > 45, "of 90, where 68 are to be expected, give or take 4"
    assert any(len(set(mine)) > 1 for mine in texts)


def test_a_cut_text_is_recorded_as_cut(served: Served, tmp_path: Path):
    """Three tokens hold no sum."""
    wishes = wanted(served, 3, 1, max_tokens=3)
    done = ask(served.url, tmp_path / "s", wishes, timeout=120.0)
    assert done.progress.outcomes == {Outcome.CUT: 3}


def test_a_seed_writes_the_same_again(served: Served):
    """And the samples of a request get seeds of their own."""
    texts = [one(served, asked(served, 12, 5, seed=seed, temperature=2.0)) for seed in (3, 3)]
    assert all(isinstance(reply, Reply) for reply in texts)
    assert texts[0].choices == texts[1].choices  # type: ignore[union-attr]


@pytest.mark.parametrize("endpoint", ["chat", "completion"])
def test_all_is_answered_through_faults_before_a_real_server(served: Served, tmp_path: Path, endpoint: Endpoint):
    """The fault proxy stands between, as gateways do."""
    wishes = wanted(served, 40, 3, endpoint=endpoint)
    with Proxy(served.url, seed=5) as proxy:
        done = ask(
            proxy.url, tmp_path / "s", wishes, timeout=120.0, manner=Manner(concurrency=8, backoff=0.01, retries=8)
        )
    found, totals = stored(tmp_path / "s", wishes)
    assert sum(map(len, found.values())) == done.progress.outcomes.total() == 120
    assert sum(totals.fates.values()) == len(proxy.received)
    assert done.progress.outcomes[Outcome.CUT] >= proxy.spoilt["cut"] > 0
    assert totals.fates["rate limited"] == proxy.spoilt["429"] > 0


def test_a_budget_before_a_real_server(served: Served, tmp_path: Path):
    """What it counts for its own template is within what was reckoned."""
    wishes = wanted(served, 60, 2)
    budget = 2.5 * in_money(PRICE.most(wishes[0].request, 1))
    done = ask(served.url, tmp_path / "s", wishes, timeout=120.0, budget=budget)
    _, totals = stored(tmp_path / "s", wishes)
    assert done.over_budget
    assert 0 < in_money(totals.spent) <= budget


def test_another_model_than_the_served_one_is_told(served: Served, tmp_path: Path):
    """A server that is pinned to one model answers 400, not 404."""
    wishes = [Wish(Request("gpt2", (Message("user", str(n)),), {"max_tokens": 3}), 1) for n in range(40)]
    with pytest.raises(TeacherError, match=r"pinned to .*teacher\.model"):
        ask(served.url, tmp_path / "s", wishes, timeout=60.0)
    assert stored(tmp_path / "s", wishes)[0] == {}


def test_an_address_without_v1_is_told(served: Served, tmp_path: Path):
    """The commonest slip."""
    with pytest.raises(TeacherError, match=r"404.*end in /v1"):
        ask(served.url.removesuffix("/v1"), tmp_path / "s", wanted(served, 3, 1))

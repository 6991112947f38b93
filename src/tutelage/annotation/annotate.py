"""Ask a server for all samples that are missing, many calls at once, and lose nothing that was paid for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tutelage.annotation.budget import Price, amount
from tutelage.annotation.client import Client
from tutelage.annotation.outcomes import Outcome
from tutelage.annotation.progress import Progress, Tell
from tutelage.annotation.requests import Request
from tutelage.annotation.round import Manner, Round, Waiting
from tutelage.annotation.store import Store


class Wish(NamedTuple):
    """A request, and how many samples of it are wanted."""

    request: Request
    samples: int


class Finished(NamedTuple):
    """How an annotation ended."""

    progress: Progress
    over_budget: bool
    """Whether the budget ended it before all was asked."""


def annotate(
    wishes: Sequence[Wish],
    store: Store,
    client: Callable[[], Client],
    *,
    manner: Manner | None = None,
    price: Price | None = None,
    budget: float | None = None,
    tell: Tell | None = None,
) -> Finished:
    """Ask until every sample has an outcome, or the budget is spent.

    What the store knows is not asked again. `budget` bounds what all calls of the store together cost, in currency,
    with those under way at their highest price. Raises TeacherError where the server turns everybody away or answers
    nobody, RunError where nothing can be stored, KeyboardInterrupt after Ctrl-C: then no new call starts, and those
    under way are waited for; after a second Ctrl-C they are not.
    """
    missing, there = _missing(wishes, store)
    progress = Progress(sum(wish.samples for wish in wishes), currency=price.currency if price else "")
    progress.outcomes.update(there)
    progress.before = progress.done
    progress.cost = store.committed() if price else None
    limit = None if budget is None else amount(budget)

    async def run() -> Finished:
        async with client() as opened:
            work = Round(missing, store, opened, manner or Manner(), price, limit, progress, tell)
            return Finished(progress, await work.run())

    return asyncio.run(run())


def _missing(wishes: Sequence[Wish], store: Store) -> tuple[list[Waiting], list[Outcome]]:
    """The calls to make, and the outcomes of the samples that are there."""
    keys = [wish.request.key for wish in wishes]
    known = store.answers(keys)
    calls: list[Waiting] = []
    there: list[Outcome] = []
    for wish, key in zip(wishes, keys, strict=True):
        found = known.get(key, {})
        there += [found[s].outcome for s in range(wish.samples) if s in found]
        if samples := tuple(s for s in range(wish.samples) if s not in found):
            calls.append(Waiting(wish.request, key, samples))
    return calls, there

"""The calls of one annotation, from the first to the last.

    a call waits --> claimed in the store --> under way --> answered: stored with its answers
                                                        --> a fault: stored; the call waits again, or its samples failed

Everything that happens is an event, handled one after the other, so that there is nothing to lock but the store.
A sample is given up only once the server has answered another call since: a server that is gone fails no samples, it
ends the annotation.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from tutelage.annotation.budget import Price
from tutelage.annotation.clerk import Clerk
from tutelage.annotation.client import Client, Fault, Reply
from tutelage.annotation.interrupt import on_interrupt
from tutelage.annotation.outcomes import Fate, Outcome
from tutelage.annotation.pace import Pace, backoff
from tutelage.annotation.progress import Progress, Tell
from tutelage.annotation.requests import Request
from tutelage.annotation.store import Answer, Call, Claimed, Store
from tutelage.errors import TeacherError

HOPELESS = 10
"""So many calls given up with no answer in between mean that the server answers nobody."""
PAGES = 3
"""So many pages of HTML before any answer mean that no API is at the address; each may have been paid for."""
LOOK_AGAIN = 0.5
"""Seconds between two looks at samples that another process is asking for."""
TELL_EVERY = 0.2
LONGEST_BACKOFF = 60.0
PATIENT = 2
"""So many times as many tries where calls came too fast: limits are for a minute, and not every server says when."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a server is asked."""

    concurrency: int = 16
    """Calls under way at once, at most."""
    retries: int = 5
    """Further tries after a fault that may pass."""
    backoff: float = 1.0
    """Seconds before the first of them, about; doubled for each."""
    several: bool = True
    """Ask for several samples in one call where the server can. It is found out if it cannot."""


@dataclass(slots=True)
class Waiting:
    """A call that is to be made."""

    request: Request
    key: str
    samples: tuple[int, ...]
    tries: int = 0
    not_before: float = 0.0


class Round:
    """One annotation at work."""

    def __init__(
        self,
        waiting: Sequence[Waiting],
        store: Store,
        client: Client,
        manner: Manner,
        price: Price | None,
        budget: int | None,
        progress: Progress,
        tell: Tell | None,
    ) -> None:
        """Made inside a running event loop."""
        self.store, self.client, self.manner = store, client, manner
        self.price, self.budget = price, budget
        self.progress, self.tell = progress, tell
        self.pace = Pace(manner.concurrency)
        self.several: bool | None = None if manner.several else False
        """Whether the server writes several samples a call; None before it is known."""
        self.todo: deque[Waiting] = deque()
        """Not claimed yet."""
        self.todo.extend(part for call in waiting for part in self._parts(call))
        self.ready: deque[Waiting] = deque()
        """Claimed."""
        self.later: list[Waiting] = []
        """To be tried again, or asked for by another process."""
        self.dear: list[Waiting] = []
        """Without room in the budget until a call under way has cost less than it might."""
        self.given_up: list[tuple[str, list[Answer], Fault]] = []
        """Since the last answer: maybe the server is to blame, and not the request."""
        self.flying: set[asyncio.Task[None]] = set()
        self.writing: set[asyncio.Future[Any]] = set()
        self.claiming = False
        self.answered = self.pages = 0
        self.stopping: BaseException | None = None
        self.over_budget = False
        self.rng = random.Random()
        self.told = 0.0
        self.began = time.monotonic()
        self.events: asyncio.Queue[Callable[[], None]] = asyncio.Queue()
        self.clerk = Clerk(store)

    async def run(self) -> bool:
        """From the first call to the last; gives whether the budget ended it. See `annotate`."""
        restore = on_interrupt(self._interrupted)
        try:
            await self._until_done()
        finally:
            restore()
            await self._leave()
        if self.stopping:
            raise self.stopping
        return self.over_budget

    async def _until_done(self) -> None:
        self._fill()
        while self.flying or self.claiming or self.writing or (self._has_more() and not self.stopping):
            with suppress(TimeoutError):
                act = await asyncio.wait_for(self.events.get(), self._pause())
                act()
                while not self.events.empty():
                    self.events.get_nowait()()
            self._fill()
            self._show()

    def _has_more(self) -> bool:
        return bool(self.todo or self.ready or self.later or self.dear)

    def _pause(self) -> float | None:
        """Seconds until something is due that no event will tell of."""
        now = time.monotonic()
        due = [] if self.stopping else [call.not_before for call in self.later]
        if self.ready and not self.stopping and self.pace.resumes_at > now:
            due.append(self.pace.resumes_at)
        if self.tell:
            due.append(now + TELL_EVERY)
        return max(0.0, min(due) - now) if due else None

    # --- what to do next

    def _fill(self) -> None:
        """Start whatever may start now."""
        if self.stopping:
            return
        now = time.monotonic()
        due = [call for call in self.later if call.not_before <= now]
        self.later = [call for call in self.later if call.not_before > now]
        self.todo.extendleft(due)
        if self.todo and not self.claiming and len(self.ready) < self.pace.allowed:
            self._claim([self.todo.popleft() for _ in range(min(len(self.todo), 2 * self.pace.allowed))])
        while self.ready and len(self.flying) < self.pace.allowed and now >= self.pace.resumes_at:
            self._start(self.ready.popleft())
        if self.dear and not (self.flying or self.claiming or self.ready or self.writing or self.todo or self.later):
            self.over_budget = True
            self.dear.clear()

    def _claim(self, taken: list[Waiting]) -> None:
        calls = [part for call in taken for part in self._parts(call)]

        def claim(store: Store) -> list[Claimed]:
            found = [self._claimed(store, call) for call in calls]
            if any(claimed.elsewhere for claimed in found):
                store.take_over()
            return found

        self.claiming = True
        self.clerk.do(claim).add_done_callback(lambda done: self.events.put_nowait(lambda: self._got(calls, done)))

    def _claimed(self, store: Store, call: Waiting) -> Claimed:
        price = partial(self.price.most, call.request) if self.price else None
        return store.claim(call.request, call.samples, price=price, budget=self.budget)

    def _got(self, calls: list[Waiting], done: asyncio.Future[list[Claimed]]) -> None:
        self.claiming = False
        if error := done.exception():
            self._stop(error)
            return
        for call, claimed in zip(calls, done.result(), strict=True):
            if claimed.granted:
                self.ready.append(replace(call, samples=claimed.granted))
            if claimed.too_dear:
                self.dear.append(replace(call, samples=claimed.too_dear))
            if claimed.elsewhere:
                self.later.append(replace(call, samples=claimed.elsewhere, not_before=time.monotonic() + LOOK_AGAIN))
            if claimed.answered:
                self._learn_of(call.key, claimed.answered)

    def _learn_of(self, key: str, samples: tuple[int, ...]) -> None:
        """Another process has the answers: count them."""
        known = self.clerk.do(lambda store: store.answers([key])[key])

        def count(done: asyncio.Future[dict[int, Answer]]) -> None:
            self.progress.outcomes.update(done.result()[s].outcome for s in samples)

        self._watch(known, count)

    # --- calls

    def _start(self, call: Waiting) -> None:
        started = time.monotonic()

        async def fly() -> None:
            try:
                result = await self.client.ask(call.request, call.samples)
            except asyncio.CancelledError:
                self._record(call, Call(Fate.LOST, time.monotonic() - started, perhaps=self._most(call)), [])
                raise
            self.events.put_nowait(lambda: self._ended(call, result, started))

        task = asyncio.create_task(fly())
        self.flying.add(task)
        task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self.flying.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._stop(error)
        self.events.put_nowait(lambda: None)

    def _ended(self, call: Waiting, result: Reply | Fault, started: float) -> None:
        seconds = time.monotonic() - started
        if isinstance(result, Reply):
            self._answered(call, result, seconds)
        else:
            self._failed(call, result, started, seconds)
        self.todo.extendleft(self.dear)
        self.dear = []

    def _answered(self, call: Waiting, reply: Reply, seconds: float) -> None:
        self.pace.answered()
        self.answered += 1
        tokens = reply.usage.written // len(reply.choices) if reply.usage else 0
        answers = [
            Answer(sample, choice.outcome, choice.text, tokens, choice.reason)
            for sample, choice in zip(call.samples, reply.choices, strict=False)
        ]
        if len(call.samples) > 1:
            self.several = len(answers) == len(call.samples)
        spent, perhaps = self._cost(call, reply)
        if self.budget is not None and spent > self._most(call):
            self._stop(TeacherError(_beyond(call, reply)))
        usage = reply.usage or (0, 0)
        self._record(call, Call(Fate.ANSWERED, seconds, *usage, spent, perhaps, body=reply.body), answers)
        self._settle()
        if rest := call.samples[len(answers) :]:
            self.todo.extendleft(self._parts(replace(call, samples=rest)))

    def _cost(self, call: Waiting, reply: Reply) -> tuple[int, int]:
        """Spent by the server's count; where it counts nothing, perhaps the most."""
        if self.price is None or reply.usage is None:
            return 0, self._most(call)
        return self.price.of(reply.usage), 0

    def _most(self, call: Waiting) -> int:
        """The highest price of a call."""
        return self.price.most(call.request, len(call.samples)) if self.price else 0

    def _failed(self, call: Waiting, fault: Fault, started: float, seconds: float) -> None:
        perhaps = 0 if fault.fate.is_free else self._most(call)
        self._record(call, Call(fault.fate, seconds, perhaps=perhaps, detail=fault.detail), [])
        self.pages += fault.is_page
        if fault.stops:
            self._stop(TeacherError(_denied(fault)))
        elif self.pages >= PAGES and not self.answered:
            self._stop(TeacherError(_no_api(fault, self.client.address)))
        elif fault.fate.may_pass:
            self._try_again(call, fault, started)
        elif len(call.samples) > 1 and self.several is not True:
            self.several = False  # maybe it is the number of samples that it finds fault with
            self.todo.extendleft(self._parts(call))
        else:
            self._give_up(call, Outcome.REJECTED, fault)

    def _try_again(self, call: Waiting, fault: Fault, started: float) -> None:
        now = time.monotonic()
        if fault.fate.asks_for_calm:
            self.pace.slow_down(started=started, now=now, wait=fault.wait)
        if call.tries >= self.manner.retries * (PATIENT if fault.fate is Fate.SLOWED else 1):
            self._give_up(call, Outcome.FAILED, fault)
            return
        wait = backoff(call.tries + 1, first=self.manner.backoff, longest=LONGEST_BACKOFF, rng=self.rng)
        self.later.append(replace(call, tries=call.tries + 1, not_before=now + max(wait, fault.wait or 0.0)))

    def _give_up(self, call: Waiting, outcome: Outcome, fault: Fault) -> None:
        self.given_up.append((call.key, [Answer(sample, outcome, fault.detail) for sample in call.samples], fault))
        if len(self.given_up) >= HOPELESS and not (self.answered and outcome is Outcome.REJECTED):
            self._stop(TeacherError(_hopeless(fault, len(self.given_up))))
            self.given_up.clear()

    def _settle(self) -> None:
        """The server answers, so those given up are to blame on themselves."""
        for key, answers, _ in self.given_up:
            self.progress.outcomes.update(answer.outcome for answer in answers)
            self._watch(self.clerk.do(lambda store, k=key, a=answers: store.settle(k, a)))
        self.given_up = []

    def _parts(self, call: Waiting) -> list[Waiting]:
        """One call for all samples, or one for each where the server writes one a call."""
        if self.several is False:
            return [replace(call, samples=(sample,)) for sample in call.samples]
        return [call]

    # --- the books

    def _record(self, call: Waiting, ended: Call, answers: list[Answer]) -> None:
        def record(store: Store) -> int:
            store.record(call.key, call.samples, replace(ended, server=self.client.address), answers)
            return store.committed()

        def count(done: asyncio.Future[int]) -> None:
            self.progress.outcomes.update(answer.outcome for answer in answers)
            if self.price is not None:
                self.progress.cost = done.result()

        self.progress.fates[ended.fate] += 1
        self.progress.tokens_read += ended.tokens_read
        self.progress.tokens_written += ended.tokens_written
        self._watch(self.clerk.do(record), count)

    def _watch(self, future: asyncio.Future[Any], then: Callable[[Any], None] | None = None) -> None:
        """Go on with `then` when it is on disk; stop where it cannot be."""

        def ended(done: asyncio.Future[Any]) -> None:
            self.writing.discard(done)
            if error := done.exception():
                self._stop(error)
            elif then:
                then(done)
            self.events.put_nowait(lambda: None)

        self.writing.add(future)
        future.add_done_callback(ended)

    def _show(self, *, now: bool = False) -> None:
        self.progress.seconds = time.monotonic() - self.began
        self.progress.under_way, self.progress.allowed = len(self.flying), self.pace.allowed
        if self.tell and (now or time.monotonic() - self.told > TELL_EVERY):
            self.told = time.monotonic()
            self.tell(self.progress)

    # --- the end

    def _stop(self, reason: BaseException) -> None:
        """Start no more calls; the first reason counts."""
        self.stopping = self.stopping or reason
        self.events.put_nowait(lambda: None)

    def _interrupted(self) -> None:
        if isinstance(self.stopping, KeyboardInterrupt):
            for task in self.flying:
                task.cancel()
        self._stop(KeyboardInterrupt())

    def _end_given_up(self) -> None:
        """Those given up at the very end: they failed, unless nobody was there to answer."""
        gone = [fault for _, _, fault in self.given_up if fault.fate is Fate.UNREACHED]
        if gone:
            self._stop(TeacherError(_hopeless(gone[-1], len(self.given_up))))
        else:
            self._settle()

    async def _leave(self) -> None:
        """Give back what was claimed in vain, and wait for the disk."""
        flying = list(self.flying)
        for task in flying:
            task.cancel()
        await asyncio.gather(*flying, return_exceptions=True)
        if not self.stopping:
            self._end_given_up()
        held = list(self.ready)
        released = self.clerk.do(lambda store: [store.release(call.key, call.samples) for call in held])
        await self.clerk.finish()
        await asyncio.gather(released, *self.writing, return_exceptions=True)
        await asyncio.sleep(0)
        self._show(now=True)


def _denied(fault: Fault) -> str:
    advice = {
        "401": "Is the key in the variable that `teacher.api_key_env` names, and is it the key of this server?",
        "402": "The account has no credit left.",
        "403": "The key may not use this model.",
        "404": "Is `teacher.model` spelt as in the server's /models, and does `teacher.base_url` end in /v1?",
        "429": "The account's quota is used up.",
    }
    return f"the server turns us away ({fault.detail}). {advice.get(fault.detail[:3], '')} What was answered is stored."


def _no_api(fault: Fault, address: str) -> str:
    return (
        f"what answers at {address} is a page and no API ({fault.detail}). Does `teacher.base_url` end in /v1, and is "
        "nothing else listening there?"
    )


def _beyond(call: Waiting, reply: Reply) -> str:
    """Why a budget cannot be kept any more."""
    read, written = reply.usage or (0, 0)
    return (
        f"the server counts {read:,} tokens read and {written:,} written for a call that can have at most "
        f"{call.request.most_read:,} and {len(call.samples) * (call.request.most_written or 0):,}, so `teacher.budget` "
        "cannot be kept. Does the server know the limit by another name (put it into `teacher.extra`), or think beyond "
        "it? What was answered is stored. Drop the budget to go on."
    )


def _hopeless(fault: Fault, calls: int) -> str:
    advice = {
        Fate.REJECTED: "Is `teacher.model` spelt as in the server's /models, and does it know the fields of "
        "`teacher.extra`?",
        Fate.BROKEN: "The server's own log says why. A model without a chat template needs `teacher.endpoint: "
        "completion`.",
        Fate.TIMED_OUT: "Raise `teacher.timeout`, or lower `teacher.concurrency` or `teacher.max_tokens`.",
        Fate.GARBLED: "Does `teacher.base_url` end in /v1, and is nothing else listening there?",
        Fate.SLOWED: "Lower `teacher.concurrency`, or wait until the limit of the account is reset.",
    }
    return (
        f"{calls} calls in a row came to nothing, the last one: {fault.fate} ({fault.detail}). "
        f"{advice.get(fault.fate, 'Is the server up, and `teacher.base_url` right?')} What was answered is stored; the "
        "same command asks for the rest."
    )

"""What an annotation will cost, before anything is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tutelage.annotation.budget import Price, Usage, in_money
from tutelage.annotation.outcomes import RETRIED
from tutelage.annotation.secrets import OFFICIAL
from tutelage.annotation.store import Store
from tutelage.methods.asked_teachers import Asked, price_of
from tutelage.recipe import TeacherSection

LETTERS_A_TOKEN = 4
"""About so many letters of English make a token: for the estimate alone, never for a budget."""


class Estimate(NamedTuple):
    """Samples of one teacher, and about what those that are missing will take."""

    model: str
    wanted: int
    there: int
    missing: int
    """Samples to be asked for; questions with equal prompts share theirs."""
    tokens_read: int
    """About, for the calls that are to be made."""
    tokens_written: int | None
    """About: by what its answers took until now; None where there are none yet."""
    most_written: int | None
    cost: float | None
    """About; None without prices, or without answers until now."""
    most: float | None
    """No more than this, in currency, if no call has to be repeated."""
    currency: str
    elsewhere: tuple[str, ...] = ()
    """Other addresses than the teacher's from which answers came."""

    def line(self) -> str:
        """In one line."""
        texts = f"{self.model}: {self.wanted:,} samples, {self.there:,} there, {self.missing:,} to ask for"
        if shared := self.wanted - self.there - self.missing:
            texts += f" ({shared:,} more have the same prompt)"
        if self.elsewhere:
            texts += f", some of them answered by {', '.join(self.elsewhere)}"
        if not self.missing:
            return texts
        written = f"{self.tokens_written:,}" if self.tokens_written is not None else f"at most {self.most_written:,}"
        tokens = f"about {self.tokens_read:,} tokens to read, {written if self.most_written else 'any number'} to write"
        money = "" if self.most is None else f", at most {self.most:.4f} {self.currency}"
        likely = "" if self.cost is None else f", likely {self.cost:.4f}"
        return f"{texts}: {tokens}{money}{likely}"


def estimate(section: TeacherSection, asked: Sequence[Asked], store: Store, *, retry: bool = False) -> Estimate:
    """About what the missing samples will take. Several samples of a question share one reading where a call allows.

    With `retry` those that failed, were refused or empty are missing too.
    """
    price = price_of(section) if section.backend == "openai" else None
    keys = {each.wish.request.key: each for each in asked}
    known = {
        key: {s: answer for s, answer in found.items() if not (retry and answer.outcome in RETRIED)}
        for key, found in store.answers(keys).items()
    }
    lacking = {k: [s for s in range(e.wish.samples) if s not in known.get(k, {})] for k, e in keys.items()}
    calls = {key: samples for key, samples in lacking.items() if samples}
    missing = sum(map(len, calls.values()))
    letters = sum(len(m.text) for key in calls for m in keys[key].wish.request.messages)
    tokens = [answer.tokens for of_key in known.values() for answer in of_key.values() if answer.tokens]
    mean = sum(tokens) / len(tokens) if tokens else None
    read = letters // LETTERS_A_TOKEN
    return Estimate(
        model=section.model or "",
        wanted=sum(each.wish.samples for each in asked),
        there=sum(s in known.get(each.wish.request.key, {}) for each in asked for s in range(each.wish.samples)),
        missing=missing,
        tokens_read=read,
        tokens_written=None if mean is None else round(mean * missing),
        most_written=None if section.max_tokens is None else section.max_tokens * missing,
        cost=in_money(price.of(Usage(read, round(mean * missing)))) if price and mean is not None else None,
        most=_most(price, [(keys[key], len(samples)) for key, samples in calls.items()]),
        currency=price.currency if price else "",
        elsewhere=tuple(sorted(store.servers(keys) - {_address(section)})),
    )


def _address(section: TeacherSection) -> str:
    return (section.base_url or OFFICIAL) if section.backend == "openai" else ""


def _most(price: Price | None, calls: Sequence[tuple[Asked, int]]) -> float | None:
    """If every sample is a call of its own, as with servers that write one text a call whatever they are asked."""
    if price is None or any(each.wish.request.most_written is None for each, _ in calls):
        return None
    return in_money(sum(samples * price.most(each.wish.request, 1) for each, samples in calls))

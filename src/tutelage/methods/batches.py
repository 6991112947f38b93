"""A recipe's teacher asked by files: see `annotation.batch`."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from tutelage.annotation.batch import Batches
from tutelage.annotation.budget import Price, amount
from tutelage.annotation.secrets import read_key
from tutelage.annotation.store import Store
from tutelage.methods.asked_teachers import Asked, Desk, forget, price_of
from tutelage.recipe import TeacherSection
from tutelage.runs import locked

HALF = 0.5
"""What a batch costs of what its calls would cost one by one (OpenAI's price list)."""


def write(section: TeacherSection, asked: Sequence[Asked], desk: Desk) -> list[str]:
    """Files of requests for what is missing; gives a sentence for each."""
    wishes = [each.wish for each in asked]
    with _batches(section, desk) as batches:
        forget(batches.store, wishes, desk)
        paths = batches.write(wishes)
    return [f"wrote {path}" for path in paths] or ["nothing is missing"]


def submit(section: TeacherSection, asked: Sequence[Asked], desk: Desk) -> list[str]:
    """Start what was written; gives a sentence for each batch."""
    budget = None if section.budget is None else amount(section.budget)
    with _batches(section, desk) as batches:
        started = batches.submit([each.wish for each in asked], price=_price(section), budget=budget)
    return [f"{batch} is under way; `--batch collect` fetches its answers" for batch in started] or [
        "nothing to submit"
    ]


def collect(section: TeacherSection, asked: Sequence[Asked], desk: Desk) -> list[str]:
    """Store what has been answered; gives a sentence for each batch."""
    with _batches(section, desk) as batches:
        return batches.collect(price=_price(section)) or ["no batch is under way"]


def _price(section: TeacherSection) -> Price | None:
    price = price_of(section)
    return replace(price, factor=HALF) if price else None


@contextmanager
def _batches(section: TeacherSection, desk: Desk) -> Generator[Batches]:
    key = read_key(section.base_url, section.api_key_env)
    name = re.sub(r"[^\w.-]+", "-", section.model or "") + (f"-{desk.part + 1}" if desk.part else "")
    folder = desk.store.parent / "batches" / name
    with Store(desk.store) as store, locked(folder / ".lock"):
        yield Batches(store, folder, base_url=section.base_url, key=key)

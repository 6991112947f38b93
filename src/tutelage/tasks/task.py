"""A task: questions with gold answers, split once and for all by question.

`make_task` is the one way from rows to a `Task`, for published data sets and for the user's own: it makes ids from
content, drops duplicates, keeps test questions out of train and holds dev out of train.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tutelage.errors import TaskError, all_problems
from tutelage.tasks.answers import AnswerType
from tutelage.types import SPLITS, Question, Split, question_id


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked, and how answers are read."""

    name: str
    answer_type: AnswerType
    questions: Mapping[Split, tuple[Question, ...]]
    """Every split, in the order of the file; no question stands twice."""
    notes: tuple[str, ...] = ()
    """What loading found: duplicates dropped, questions shared by splits, a split held out."""


@dataclass(frozen=True, slots=True)
class Item:
    """One row of a data file, read but not yet a question of a split."""

    where: str
    """File and line, for error messages."""
    text: str
    choices: tuple[str, ...]
    answer: str
    """Canonical."""
    meta: Mapping[str, str] = field(default_factory=dict[str, str])


def make_task(
    name: str,
    answer_type: AnswerType,
    train: Sequence[Item],
    test: Sequence[Item] | None,
    dev: Sequence[Item] | None = None,
    *,
    dev_fraction: float = 0.1,
    test_fraction: float = 0.2,
    limit: int | None = None,
    notes: Iterable[str] = (),
) -> Task:
    """A task out of rows. Without `dev` or `test` rows that split is held out of train, by the hash of the ids.

    A question that stands in two splits stays in the one furthest from training: test, then dev. `limit` keeps so many
    training questions, by hash, after dev is held out. Raises TaskError where one question has two gold answers (both
    rows are named), or where a split would be empty.
    """
    told = list(notes)
    problems: list[str] = []
    shipped: dict[Split, dict[str, Question]] = {}
    given: dict[Split, Sequence[Item] | None] = {"train": train, "dev": dev, "test": test}
    for split, items in given.items():
        if items is not None:
            shipped[split] = _distinct(name, split, items, told)
    _same_answers(shipped, answer_type, [*train, *(dev or ()), *(test or ())], name, problems)
    if problems:
        raise TaskError(all_problems(f"{name}: gold answers contradict each other:", problems, "Mend or remove a row."))
    _keep_apart(shipped, told)
    if "test" not in shipped:
        _hold_out(shipped, "test", test_fraction, told)
    if "dev" not in shipped:
        _hold_out(shipped, "dev", dev_fraction, told)
    if limit is not None and len(shipped["train"]) > limit:
        told.append(f"{limit} of {len(shipped['train'])} training questions used")
        chosen = set(_by_hash(shipped["train"], "limit")[:limit])
        shipped["train"] = {id: q for id, q in shipped["train"].items() if id in chosen}
    for split in SPLITS:
        if not shipped[split]:
            raise TaskError(f"{name}: no {split} question is left. Give more rows, or another fraction to hold out.")
    return Task(
        name,
        answer_type,
        {s: tuple(replace(q, split=s) for q in shipped[s].values()) for s in SPLITS},
        tuple(told),
    )


def _distinct(name: str, split: Split, items: Sequence[Item], told: list[str]) -> dict[str, Question]:
    found: dict[str, Question] = {}
    for item in items:
        id = question_id(name, item.text, item.choices)
        meta = {**item.meta, "where": item.where}
        found.setdefault(id, Question(id, name, split, item.text, item.choices, item.answer, meta))
    if len(found) < len(items):
        told.append(f"{split}: {len(items) - len(found)} rows repeat a question and were dropped")
    return found


def _same_answers(
    shipped: Mapping[Split, Mapping[str, Question]],
    answer_type: AnswerType,
    items: Iterable[Item],
    name: str,
    problems: list[str],
) -> None:
    gold: dict[str, Question] = {}
    for split in SPLITS:
        for id, question in shipped.get(split, {}).items():
            gold.setdefault(id, question)
    for item in items:
        first = gold[question_id(name, item.text, item.choices)]
        if not answer_type.same(first.answer, item.answer):
            problems.append(
                f"{item.where}: answer {item.answer!r}, but {first.meta['where']} has {first.answer!r} "
                f"for the same question {_short(item.text)!r}"
            )


def _keep_apart(shipped: dict[Split, dict[str, Question]], told: list[str]) -> None:
    """Drop from train what stands in dev or test, and from dev what stands in test."""
    for split, judged in (("train", "test"), ("train", "dev"), ("dev", "test")):
        if split in shipped and judged in shipped:
            shared = shipped[split].keys() & shipped[judged].keys()
            if shared:
                told.append(f"{len(shared)} question(s) stand in {split} and {judged}: dropped from {split}")
                shipped[split] = {id: q for id, q in shipped[split].items() if id not in shared}


def _hold_out(shipped: dict[Split, dict[str, Question]], split: Split, fraction: float, told: list[str]) -> None:
    train = shipped["train"]
    if not 0 < fraction < 1:
        raise TaskError(f"{split}_fraction: got {fraction}; expected a number between 0 and 1, e.g. 0.1")
    if len(train) < 2:
        raise TaskError(f"{len(train)} training question(s) are too few to hold out a {split} split. Give more rows.")
    held = set(_by_hash(train, split)[: min(len(train) - 1, max(1, round(len(train) * fraction)))])
    shipped[split] = {id: q for id, q in train.items() if id in held}
    shipped["train"] = {id: q for id, q in train.items() if id not in held}
    told.append(f"{split}: {len(held)} questions held out of train")


def _by_hash(ids: Iterable[str], purpose: str) -> list[str]:
    """Ids in an order that depends on nothing but themselves, so not on that of the file.

    A new row can push another one over the border: splits of two versions of a file may differ by single rows.
    """
    return sorted(ids, key=lambda id: hashlib.sha256(f"{purpose}:{id}".encode()).hexdigest())


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "..."

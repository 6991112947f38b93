"""Which n rationales of a question are kept when there are more: by the order written, by length, or by difference.

Three correct rationales of one question, of 9, 31 and 12 words, and what `n=2` takes of them:

    first     9, 31        as they were written
    shortest  9, 12        small students follow short chains better
    longest   31, 12
    diverse   9, 31        the first, then whichever is least like those taken, if that is the one of 31
    mixed     the longest for some questions, chosen by the hash of their ids, the shortest for the others

A mix of a few long chains among short ones is what Li et al. 2025 ("Small Models Struggle to Learn from Strong
Reasoners") found best for small students. They mix two teachers; `teacher.mix` does that too.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Literal

from tutelage.rationales.diverse import grams, jaccard
from tutelage.rationales.keep import Kept, keep
from tutelage.rationales.near import WORDS, drop_near_duplicates
from tutelage.types import Rationale

By = Literal["first", "shortest", "longest", "diverse", "mixed"]


def choose(rationales: Iterable[Rationale], n: int, *, by: By = "first", long_share: float = 0.2) -> list[Rationale]:
    """At most `n` of each question, in the order they came."""
    questions: dict[str, list[Rationale]] = defaultdict(list)
    order: dict[int, int] = {}
    for place, rationale in enumerate(rationales):
        questions[rationale.question_id].append(rationale)
        order[id(rationale)] = place
    taken = [r for id_, mine in questions.items() for r in _of_question(id_, mine, n, by, long_share)]
    return sorted(taken, key=lambda r: order[id(r)])


def choose_kept(
    rationales: Sequence[Rationale],
    *,
    questions: Collection[str] | None = None,
    per_question: int | None = None,
    by: By = "first",
    long_share: float = 0.2,
    near_duplicates: float | None = None,
    most_words: int | None = None,
) -> Kept:
    """What `keep` keeps, then without the too long, the nearly equal, and more than `per_question` of a question.

    `counts` says of every rationale what became of it: besides the reasons of `keep`, too long and near duplicate.
    """
    first = keep(rationales, questions=questions)
    counts = Counter(first.counts)
    short = [r for r in first.rationales if most_words is None or words(r) <= most_words]
    distinct = drop_near_duplicates(short, similarity=near_duplicates).rationales if near_duplicates else short
    chosen = distinct if per_question is None else choose(distinct, per_question, by=by, long_share=long_share)
    counts["too long"] = len(first.rationales) - len(short)
    counts["near duplicate"] = len(short) - len(distinct)
    counts["over the limit"] += len(distinct) - len(chosen)
    counts["kept"] = len(chosen)
    told = {reason: count for reason, count in counts.items() if count or reason == "kept"}
    return Kept(tuple(chosen), told, len({r.question_id for r in chosen}))


def words(rationale: Rationale) -> int:
    """Its length in words."""
    return len(rationale.text.split())


def _of_question(id_: str, rationales: Sequence[Rationale], n: int, by: By, long_share: float) -> list[Rationale]:
    if by == "diverse":
        return _unlike(rationales, n)
    if by == "mixed":
        by = "longest" if _place(id_) < long_share else "shortest"
    if by == "first":
        return list(rationales[:n])
    return sorted(rationales, key=words, reverse=by == "longest")[:n]


def _unlike(rationales: Sequence[Rationale], n: int) -> list[Rationale]:
    """The first, then again and again the one whose nearest among those taken is farthest."""
    left = [(rationale, grams(rationale.text, WORDS)) for rationale in rationales]
    taken = [left.pop(0)] if left else []
    while left and len(taken) < n:
        nearest = [max(jaccard(mine, other) for _, other in taken) for _, mine in left]
        taken.append(left.pop(nearest.index(min(nearest))))
    return [rationale for rationale, _ in taken[:n]]


def _place(id_: str) -> float:
    """A number in [0, 1) made of the id."""
    return int(hashlib.sha256(f"length:{id_}".encode()).hexdigest()[:12], 16) / 16**12

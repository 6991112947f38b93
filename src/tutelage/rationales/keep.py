"""Which rationales a student learns from: correct, no two alike, at most so many for each question.

The words are kept as they are, with a closing sentence such as "So the answer is (C)." where the teacher wrote one:
the target is rationale, marker, answer, and a sentence that announces the answer before the marker is part of the
reasoning (so it is in the published training data too).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from tutelage.types import Rationale, Verdict


class Kept(NamedTuple):
    """What was kept, and what became of the rest."""

    rationales: tuple[Rationale, ...]
    """In the order they came."""
    counts: Mapping[str, int]
    """Every rationale once: kept, wrong, unread, not judged, duplicate, over the limit, empty, cut off, no question,
    already known."""
    questions: int
    """How many questions have at least one."""

    @property
    def yield_share(self) -> float:
        """Share of the rationales that were kept, in [0, 1]."""
        total = sum(self.counts.values())
        return self.counts.get("kept", 0) / total if total else 0.0


def keep(
    rationales: Iterable[Rationale],
    *,
    per_question: int | None = None,
    questions: Collection[str] | None = None,
    known: Iterable[Rationale] = (),
    cut_off: bool = False,
) -> Kept:
    """Keep the first `per_question` different correct rationales of each question; without it all of them.

    `questions` are the ids that may be taught: anything else is dropped, so that no rationale of a held-out question
    slips in. Two texts are alike if they differ in nothing but letter case and white space; they are compared within a
    question, whoever wrote them, and with those `known` already, such as the teacher's own. A text cut at the length
    limit is dropped unless `cut_off`.
    """
    there = {(r.question_id, normalised(r.text)) for r in known}
    counts: Counter[str] = Counter()
    seen: set[tuple[str, str]] = set()
    taken: Counter[str] = Counter()
    kept: list[Rationale] = []
    for rationale in rationales:
        key = (rationale.question_id, normalised(rationale.text))
        reason = _refusal(rationale, questions, cut_off=cut_off)
        if reason is None and key in there:
            reason = "already known"
        if reason is None and key in seen:
            reason = "duplicate"
        if reason is None and per_question is not None and taken[rationale.question_id] >= per_question:
            reason = "over the limit"
        counts[reason or "kept"] += 1
        if reason is None:
            seen.add(key)
            taken[rationale.question_id] += 1
            kept.append(rationale)
    return Kept(tuple(kept), dict(counts), len(taken))


def normalised(text: str) -> str:
    """A text as compared for duplicates: case folded, runs of white space as one space."""
    return " ".join(text.casefold().split())


def _refusal(rationale: Rationale, questions: Collection[str] | None, *, cut_off: bool) -> str | None:
    if questions is not None and rationale.question_id not in questions:
        return "no question"
    if not rationale.text.strip():
        return "empty"
    if rationale.verdict is None:
        return "not judged"
    if rationale.verdict is not Verdict.CORRECT:
        return str(rationale.verdict)
    return None if rationale.finished or cut_off else "cut off"

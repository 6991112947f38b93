"""What the page's script reads: questions, verdicts, what every student wrote, and the curves that can be hovered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tutelage.report.lookups.learning import SERIES
from tutelage.report.lookups.passages import Numbered
from tutelage.report.plots import Panel, Series
from tutelage.report.report import Report
from tutelage.report.run import ArmRun, Trained
from tutelage.report.sweeps import swept
from tutelage.report.terms import TermPlots, term_names
from tutelage.types import Prediction, Verdict

LETTERS = {Verdict.CORRECT: "c", Verdict.WRONG: "w", Verdict.UNREAD: "u"}


def trained(report: Report) -> list[tuple[int, int, Trained]]:
    """(number of the arm, seed, what it did) of every arm and seed."""
    return [(n, seed, t) for n, arm in enumerate(report.arms) for seed, t in arm.by_seed.items()]


class Drawn(NamedTuple):
    """Everything with curves, in the order in which the page counts it."""

    curves: Sequence[Panel]
    """Of arms."""
    rerankers: Sequence[Panel]
    terms: Sequence[TermPlots]


def browser_data(report: Report, looks: Sequence[str], drawn: Drawn) -> dict[str, Any]:
    """Questions, and for every arm and seed one letter a question: c correct, w wrong, u unread."""
    return {
        "arms": [
            {
                "arm": arm.arm,
                "title": arm.marked,
                "reference": arm.is_reference,
                "seeds": list(arm.by_seed),
                "look": look,
                "short": short(arm),
            }
            for arm, look in zip(report.arms, looks, strict=True)
        ],
        "baseline": report.run.results.get("baseline"),
        "questions": [
            {
                "id": q.id,
                "text": q.text,
                "choices": q.choices,
                "answer": q.answer,
                "source": q.meta.get("source_id", ""),
            }
            for q in report.run.questions
        ],
        "verdicts": [[_letters(report, t) for t in arm.by_seed.values()] for arm in report.arms],
        "panels": [
            *(_panel(p) for p in drawn.curves),
            *(_panel(p, SERIES) for p in drawn.rerankers),
            *(_panel(p, term_series(report)) for plot in drawn.terms for p in plot.panels),
        ],
    }


def term_series(report: Report) -> list[Series]:
    """The terms of all losses, as the lines of a panel."""
    return [Series(name, f"term-{number % 4}") for number, name in enumerate(term_names(report.arms))]


def short(arm: ArmRun) -> str:
    """An arm in two or three letters, for the head of a narrow column: MK; s3 for the third of a sweep of `samples`."""
    if read := swept(arm.arm):
        return f"{read.key.rpartition('.')[2][:1]}{read.value:g}"
    words = "".join(c if c.isalnum() else " " for c in arm.title).split()
    return ("".join(word[0] for word in words[:2]) if len(words) > 1 else arm.title[:2]).upper()


def _panel(panel: Panel, series: Sequence[Series] | None = None) -> dict[str, Any]:
    """A panel whose lines are those of arms, or of a series of its own."""
    return {
        "share": panel.is_share,
        "series": [one._asdict() for one in series] if series else None,
        "low": panel.x_low,
        "high": panel.x_high,
        "lines": [[line.series, line.values] for line in panel.lines],
    }


def _letters(report: Report, trained: Trained) -> str:
    found = {p.question_id: LETTERS[p.verdict] for p in trained.predictions}
    return "".join(found[q.id] for q in report.run.questions)


def texts(report: Report, arm: int, trained: Trained, passages: Numbered) -> list[list[Any]]:
    """For each question the voted answer, its rationales and the passages found.

    A rationale is text, answer, verdict, tokens, finished, passages shown; a passage is its number, see `Numbered`.
    """
    found = {p.question_id: p for p in trained.predictions}
    index = report.arms[arm].index
    return [_texts(found[q.id], index, passages) for q in report.run.questions]


def _texts(prediction: Prediction, index: str | None, passages: Numbered) -> list[Any]:
    return [
        prediction.answer,
        [
            [
                r.text,
                r.answer,
                LETTERS[r.verdict or Verdict.UNREAD],
                r.tokens,
                int(r.finished),
                passages.shown(index, r),
            ]
            for r in prediction.rationales
        ],
        passages.found(index, prediction),
    ]

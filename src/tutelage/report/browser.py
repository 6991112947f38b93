"""What the page's script reads: questions, verdicts, what every student wrote, and the curves that can be hovered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tutelage.report.plots import Panel
from tutelage.report.report import Report
from tutelage.report.run import ArmRun, Trained
from tutelage.report.sweeps import swept
from tutelage.report.terms import TermPlots, term_names
from tutelage.types import Verdict

LETTERS = {Verdict.CORRECT: "c", Verdict.WRONG: "w", Verdict.UNREAD: "u"}


def trained(report: Report) -> list[tuple[int, int, Trained]]:
    """(number of the arm, seed, what it did) of every arm and seed."""
    return [(n, seed, t) for n, arm in enumerate(report.arms) for seed, t in arm.by_seed.items()]


def browser_data(
    report: Report, looks: Sequence[str], curves: Sequence[Panel], terms: Sequence[TermPlots]
) -> dict[str, Any]:
    """Questions, and for every arm and seed one letter a question: c correct, w wrong, u unread."""
    return {
        "arms": [
            {
                "arm": arm.arm,
                "title": f"{arm.title} (reference)" if arm.is_reference else arm.title,
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
        "terms": term_names(report.arms),
        "panels": [_panel(p) for p in curves] + [_panel(p, of_terms=True) for plot in terms for p in plot.panels],
    }


def short(arm: ArmRun) -> str:
    """An arm in two or three letters, for the head of a narrow column: MK; s3 for the third of a sweep of `samples`."""
    if read := swept(arm.arm):
        return f"{read.key.rpartition('.')[2][:1]}{read.value:g}"
    words = "".join(c if c.isalnum() else " " for c in arm.title).split()
    return ("".join(word[0] for word in words[:2]) if len(words) > 1 else arm.title[:2]).upper()


def _panel(panel: Panel, *, of_terms: bool = False) -> dict[str, Any]:
    return {
        "share": panel.is_share,
        "terms": of_terms,
        "low": panel.x_low,
        "high": panel.x_high,
        "lines": [[line.series, line.values] for line in panel.lines],
    }


def _letters(report: Report, trained: Trained) -> str:
    found = {p.question_id: LETTERS[p.verdict] for p in trained.predictions}
    return "".join(found[q.id] for q in report.run.questions)


def texts(report: Report, trained: Trained) -> list[list[Any]]:
    """For each question the voted answer and its rationales: text, answer, verdict, tokens, finished, passages."""
    found = {p.question_id: p for p in trained.predictions}
    return [
        [
            found[q.id].answer,
            [
                [r.text, r.answer, LETTERS[r.verdict or Verdict.UNREAD], r.tokens, int(r.finished), list(r.passage_ids)]
                for r in found[q.id].rationales
            ],
        ]
        for q in report.run.questions
    ]

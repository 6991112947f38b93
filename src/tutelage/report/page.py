"""The report as one page that needs nothing else: no network, no font, no library.

Python lays out everything that stands still; `report.js` adds the browser of questions. Texts of models reach the page
only as JSON that scripts turn into text nodes, or through jinja's escaping, and the page forbids itself to run any
other script or to load anything.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup, escape

from tutelage.evaluation.compare import Comparison
from tutelage.report import findings, plots
from tutelage.report.markdown import count
from tutelage.report.report import Report, seconds_of
from tutelage.report.run import Trained
from tutelage.types import Verdict

LETTERS = {Verdict.CORRECT: "c", Verdict.WRONG: "w", Verdict.UNREAD: "u"}

YIELD = ("kept", "over the limit", "duplicate", "wrong", "unread", "cut off", "empty", "not judged", "no question")
"""What can become of a rationale, in the order of the bar; the page has a colour for the first six, grey for others."""


def page(report: Report) -> str:
    """The whole of report.html."""
    style, script = asset("report.css"), asset("report.js")
    template = environment().from_string(asset("report.html"))
    return template.render(
        report=report,
        results=report.run.results,
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; style-src {digest(style)}; script-src {digest(script)}; base-uri 'none'",
        lead=lead(report),
        arms=arm_rows(report),
        reference=report.run.reference,
        accuracies=accuracy_plot(report),
        pairs=pair_rows(report),
        panels=plots.panels(report.arms),
        teacher=teacher_yield(report),
        facts=facts(report),
        asked=len(report.run.questions),
        data=script_json(browser_data(report)),
        texts={f"{n}-{seed}": script_json(texts(report, t)) for n, seed, t in trained(report)},
    )


def environment() -> Environment:
    """Templates that escape everything and stop at a name they were not given."""
    made = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters.update(
        whole_words=whole_words,
        percent=findings.percent,
        interval=findings.interval,
        p=findings.p_value,
        signed=findings.signed,
        count=count,
    )
    return made


def whole_words(text: str) -> Markup:
    """Text whose hyphenated words, Fine-tuning or Mentor-KD, stay on one line."""
    return Markup(re.sub(r"\w+(?:-\w+)+", r'<span class="whole">\g<0></span>', str(escape(text))))


def asset(name: str) -> str:
    """A file that comes with this package."""
    return files("tutelage.report").joinpath(name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """An inline script or style as a content security policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def script_json(value: Any) -> Markup:
    """JSON that can stand inside a script element: no `<`, `>` or `&` is left in it."""
    return htmlsafe_json_dumps(value, dumps=lambda v, **_: json.dumps(v, allow_nan=False, separators=(",", ":")))


def trained(report: Report) -> list[tuple[int, int, Trained]]:
    """(number of the arm, seed, what it did) of every arm and seed."""
    return [(n, seed, t) for n, arm in enumerate(report.arms) for seed, t in arm.by_seed.items()]


# --- what stands still


def lead(report: Report) -> list[str]:
    """The sentences under the headline; with one arm there is no comparison to speak of."""
    if report.comparisons:
        return report.key_findings
    return [f"{arm.title}: {findings.interval(s.low, s.high)} percent." for arm, s in _scored(report)]


def _scored(report: Report):
    return [(arm, report.scores[arm.arm]) for arm in report.arms]


def facts(report: Report) -> list[tuple[str, str]]:
    """The size of the study at a glance: what is counted, and how many of it."""
    counts = (report.run.results.get("task") or {}).get("counts") or {}
    seeds = sorted({len(arm.by_seed) for arm in report.arms})
    found = [
        ("test questions", f"{len(report.run.questions):,}"),
        ("training questions", f"{counts.get('train', 0):,}"),
        ("arm" if len(report.arms) == 1 else "arms", str(len(report.arms))),
        (
            "seed an arm" if seeds == [1] else "seeds an arm",
            "–".join(str(n) for n in dict.fromkeys((*seeds[:1], *seeds[-1:]))),
        ),
    ]
    if seconds := report.run.results.get("seconds"):
        found.append(("computing", duration(seconds)))
    return found


def duration(seconds: float) -> str:
    """A time in the unit that suits it: 48 s, 2 min 22 s, 3 h 5 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def arm_rows(report: Report) -> list[dict[str, Any]]:
    """Arms as rows of the table."""
    along = _accuracy_axis(report)
    return [
        {
            "number": n,
            "arm": arm.arm,
            "title": arm.title,
            "score": score,
            "unread": score.unread / (score.n * len(score.seeds)),
            "range": plots.accuracy_range(score, along),
            "seconds": {kind: duration(s) for kind, s in seconds_of(arm).items()},
        }
        for n, (arm, score) in enumerate(_scored(report))
    ]


def _accuracy_axis(report: Report) -> plots.Axis:
    reference = report.run.reference
    return plots.accuracy_axis(report.scores.values(), reference.accuracy if reference else None)


def accuracy_plot(report: Report) -> dict[str, Any]:
    """Axis and reference that all rows of the table share."""
    along, reference = _accuracy_axis(report), report.run.reference
    return {
        "ticks": plots.ticks(along, plots.share_label),
        "reference": along.place(reference.accuracy) if reference else None,
    }


def pair_rows(report: Report) -> dict[str, Any]:
    """Comparisons as rows of their table, and the axis they share."""
    if not report.comparisons:
        return {"rows": [], "ticks": [], "zero": None}
    along, titles = plots.difference_axis(report.comparisons), report.titles
    numbers = {arm.arm: n for n, arm in enumerate(report.arms)}
    rows = [
        {
            "c": c,
            "a": titles[c.a],
            "b": titles[c.b],
            "a_number": numbers[c.a],
            "b_number": numbers[c.b],
            "shown": findings.is_shown(c),
            "range": plots.difference_range(c, along),
            "word": word(c),
            "note": text,
        }
        for c, text in zip(report.comparisons, report.findings, strict=True)
    ]
    labels = plots.ticks(along, lambda v: "0" if abs(v) < 1e-9 else f"{findings.signed(v).removesuffix('.0')}")
    return {"rows": rows, "ticks": labels, "zero": along.place(0.0)}


def word(comparison: Comparison) -> str:
    """What a comparison comes to."""
    if not findings.is_shown(comparison):
        return "not shown"
    return "better" if comparison.difference > 0 else "worse"


def teacher_yield(report: Report) -> dict[str, Any] | None:
    """What became of the teacher's rationales: parts of a bar, in percent of its length."""
    teacher = report.run.results.get("teacher")
    counts = {name: n for name, n in ((teacher or {}).get("yield") or {}).items() if isinstance(n, int)}
    asked = counts.pop("asked", None)
    total = sum(counts.values())
    if not teacher or not total:
        return None
    parts, start = [], 0.0
    for name in sorted(filter(counts.get, counts), key=lambda k: YIELD.index(k) if k in YIELD else len(YIELD)):
        width = 100 * counts[name] / total
        kind = name.replace(" ", "-") if name in YIELD[:6] else "other"
        place = {"start": round(start, 3), "width": round(width, 3)}
        parts.append({"name": name, "kind": kind, "count": counts[name], **place})
        start += width
    known = {key: teacher.get(key) for key in ("source", "per_question")}
    return {**known, "asked": asked, "parts": parts, "notes": teacher.get("notes") or []}


# --- what the browser of questions shows


def browser_data(report: Report) -> dict[str, Any]:
    """Questions, and for every arm and seed one letter a question: c correct, w wrong, u unread."""
    questions = report.run.questions
    return {
        "arms": [{"arm": a.arm, "title": a.title, "seeds": list(a.by_seed)} for a in report.arms],
        "baseline": report.run.results.get("baseline"),
        "questions": [
            {
                "id": q.id,
                "text": q.text,
                "choices": q.choices,
                "answer": q.answer,
                "source": q.meta.get("source_id", ""),
            }
            for q in questions
        ],
        "verdicts": [[_letters(report, t) for t in arm.by_seed.values()] for arm in report.arms],
        "panels": [
            {
                "share": p.is_share,
                "low": p.x_low,
                "high": p.x_high,
                "lines": [[x.arm, x.seed, x.values] for x in p.lines],
            }
            for p in plots.panels(report.arms)
        ],
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

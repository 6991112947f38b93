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
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup, escape

from tutelage.evaluation.compare import Comparison
from tutelage.report import browser, findings, found, plots
from tutelage.report.browser import trained
from tutelage.report.cost import read_costs
from tutelage.report.lookups import learning
from tutelage.report.lookups.passages import Numbered
from tutelage.report.lookups.rerankers import by_seeds
from tutelage.report.markdown import count, count_of_seeds, tested
from tutelage.report.pairs import pair_lines
from tutelage.report.report import Report, seconds_of
from tutelage.report.sources import YIELD, Source, sentences, soft_label_lines
from tutelage.report.sweeps import Sweep, find_sweeps, looks, sweep_plot
from tutelage.report.terms import term_names, term_plots

KINDS = {*YIELD[:6], "from the teacher", "filled by the mentor", "still without"}
"""Parts of bars that have a colour of their own; others are grey."""

FEW_SOURCES = 5
FEW_TERM_PLOTS = 4
"""More than these stand behind a "show all"."""


def page(report: Report) -> str:
    """The whole of report.html."""
    style, script = asset("report.css"), asset("report.js")
    sweeps = find_sweeps(report.arms)
    colours = looks(report.arms, sweeps)
    curves, terms = plots.panels(report.arms), term_plots(report.arms)
    drawn = browser.Drawn(
        curves, [p for group in by_seeds(report.run.rerankers) for p in learning.panels(group)], terms
    )
    passages = Numbered(report.run.passages)
    written = {f"{n}-{seed}": script_json(browser.texts(report, n, t, passages)) for n, seed, t in trained(report)}
    return (
        environment()
        .get_template("report.html")
        .render(
            report=report,
            results=report.run.results,
            style=Markup(style),
            script=Markup(script),
            policy=f"default-src 'none'; style-src {digest(style)}; script-src {digest(script)}; base-uri 'none'",
            lead=lead(report),
            arms=arm_rows(report, colours),
            reference=report.run.reference,
            accuracies=accuracy_plot(report),
            sweeps=[sweep_figure(report, s, colours) for s in sweeps],
            looks=colours,
            references={arm.arm for arm in report.arms if arm.is_reference},
            leaking={arm.arm for arm in report.arms if arm.leaks},
            pairs=pair_rows(report),
            panels=curves,
            crowded=plots.is_crowded(report.arms),
            **found.section(report, first_panel=len(curves)),
            terms=terms,
            terms_from=len(drawn.curves) + len(drawn.rerankers),
            terms_series=browser.term_series(report),
            term_names=term_names(report.arms),
            few_terms=FEW_TERM_PLOTS,
            sources=[yield_row(source) for source in report.sources],
            few_sources=FEW_SOURCES,
            costs=read_costs(report.run.results, report.arms, report.scores),
            soft_labels=soft_label_lines(report.run.results),
            pair_lines=pair_lines(report.arms),
            facts=facts(report),
            asked=len(report.run.questions),
            tested=tested(report),
            data=script_json(browser.browser_data(report, colours, drawn)),
            texts=written,
            passages=script_json(passages.rows),
        )
    )


def environment() -> Environment:
    """Templates that escape everything and stop at a name they were not given."""
    made = Environment(
        loader=FunctionLoader(asset), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
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


def lead(report: Report) -> list[str]:
    """The sentences under the headline; with one arm there is no comparison to speak of."""
    if report.comparisons:
        return [*report.key_findings, *report.search_findings]
    alone = [f"{arm.title}: {findings.interval(s.low, s.high)} percent." for arm, s in _scored(report)]
    return [*alone, *report.search_findings]


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


def arm_rows(report: Report, colours: Sequence[str]) -> list[dict[str, Any]]:
    """Arms as rows of the table."""
    along = _accuracy_axis(report)
    return [
        {
            "number": n,
            "arm": arm.arm,
            "title": arm.title,
            "look": colours[n],
            "note": arm.note,
            "leaks": arm.leaks,
            "is_aside": arm.is_reference or bool(arm.leaks),
            "score": score,
            "unread": score.unread / (score.n * len(score.seeds)),
            "range": plots.accuracy_range(score, along),
            "seconds": {kind: duration(s) for kind, s in seconds_of(arm).items()},
        }
        for n, (arm, score) in enumerate(_scored(report))
    ]


def sweep_figure(report: Report, sweep: Sweep, colours: Sequence[str]) -> dict[str, Any]:
    """One sweep's plot, with the classes of its lines and marks: a line alone shows the shades of its arms."""
    plot = sweep_plot(sweep, report.arms, report.scores, report.run.results.get("baseline"))
    whole = [colours[path.marks[-1].arm].split()[0] for path in plot.paths]
    alone = len(plot.paths) == 1
    said = "; ".join(" ".join(filter(None, (path.label, mark.label))) for path in plot.paths for mark in path.marks)
    return {
        "plot": plot,
        "path_looks": whole,
        "mark_looks": [
            [colours[m.arm] if alone else look for m in path.marks]
            for path, look in zip(plot.paths, whole, strict=True)
        ],
        "label": f"Accuracy of {plot.name} by {plot.key}: {said}",
    }


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
    """Comparisons as rows of their table, those behind "show all" apart, and the axis they share."""
    if not report.comparisons:
        return {"rows": [], "more": [], "ticks": [], "zero": None}
    along, titles = plots.difference_axis(report.comparisons), report.titles
    rows = [
        {
            "c": c,
            "a": titles[c.a],
            "b": titles[c.b],
            "shown": findings.is_shown(c),
            "range": plots.difference_range(c, along),
            "word": word(c),
            "note": text,
        }
        for c, text in zip(report.comparisons, report.findings, strict=True)
    ]
    labels = plots.ticks(along, lambda v: "0" if abs(v) < 1e-9 else f"{findings.signed(v).removesuffix('.0')}")
    return {
        "rows": [row for row, leads in zip(rows, report.leading, strict=True) if leads],
        "more": [row for row, leads in zip(rows, report.leading, strict=True) if not leads],
        "ticks": labels,
        "zero": along.place(0.0),
    }


def word(comparison: Comparison) -> str:
    """What a comparison comes to."""
    if comparison.p_holm is None:
        return "no test"
    if not findings.is_shown(comparison):
        return "not shown"
    return "better" if comparison.difference > 0 else "worse"


def yield_row(source: Source) -> dict[str, Any]:
    """One teacher or mentor: what became of its texts, and of the questions, as parts of bars."""
    asked, without, gained = source.asked, source.without_teacher, source.gained
    covered = (
        bar({"from the teacher": asked - without, "filled by the mentor": gained, "still without": without - gained})
        if asked and without is not None and gained is not None
        else []
    )
    return {
        "source": source,
        "parts": bar(source.counts),
        "covered": covered if without else [],
        "sentences": sentences(source),
        "seeds": count_of_seeds(source.seeds) if source.seeds else "",
    }


def bar(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Parts of a bar, in percent of its length, in the order given."""
    total, start, parts = sum(counts.values()), 0.0, []
    for name, number in counts.items():
        if number:
            width = 100 * number / total
            kind = name.replace(" ", "-") if name in KINDS else "other"
            place = {"start": round(start, 3), "width": round(width, 3)}
            parts.append({"name": name, "kind": kind, "count": number, **place})
            start += width
    return parts

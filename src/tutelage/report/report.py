"""From a finished run to its report: `report.json`, `report.md` and `report.html` in the run's own folder.

The same results give the same bytes. What differs between a run and the same run resumed are times, and those stand
under the keys `seconds`, `started` and `finished` alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tutelage.evaluation.compare import Comparison, compare_arms, compare_with_constant
from tutelage.evaluation.metrics import ArmScore, score_arm
from tutelage.evaluation.runs import Origin, answers_of
from tutelage.report import findings
from tutelage.report.lookups import learning, shown
from tutelage.report.lookups.gates import Gate, read_gates
from tutelage.report.lookups.rerankers import Learnt
from tutelage.report.lookups.searches import Searches, read_searches, sentences
from tutelage.report.run import ArmRun, Run, read_run
from tutelage.report.sources import Source, read_sources, sources_of
from tutelage.report.sweeps import find_sweeps
from tutelage.runs import write_json, write_text


@dataclass(frozen=True, slots=True)
class Report:
    """A run and what its figures support."""

    run: Run
    scores: Mapping[str, ArmScore]
    """By arm."""
    comparisons: tuple[Comparison, ...]
    """All pairs, those with the baseline first."""
    headline: str
    """Without a full stop."""
    findings: tuple[str, ...]
    """One sentence a comparison, in the order of `comparisons`."""
    cautions: tuple[str, ...]
    """What weakens the figures, and the warnings of the run."""
    searches: tuple[Searches, ...] = ()
    """How well passages were found, the test split first."""
    gates: tuple[Gate, ...] = ()
    against_constant: tuple[Comparison, ...] = ()
    """Every arm against always giving the answer that is most frequent in training; empty without such an answer."""

    @property
    def arms(self) -> tuple[ArmRun, ...]:
        """The arms in the order of the recipe."""
        return self.run.arms

    @property
    def key_findings(self) -> list[str]:
        """Those to read first: the best student against the next best, as in the headline, then the baseline's.

        Of many, the best against the next and against the baseline stand; the others are counted in one sentence.
        """
        baseline = self.run.results.get("baseline")
        competing = findings.ranked(self.arms, self.scores)
        pairs = [({c.a, c.b}, text) for c, text in zip(self.comparisons, self.findings, strict=True)]
        key = [(p, text) for p, text in pairs if p <= set(competing) and (baseline in p or p == set(competing[:2]))]
        first = sorted(key, key=lambda p: p[0] != set(competing[:2]))
        if len(key) <= MANY_FINDINGS or baseline is None:
            return [text for _, text in first]
        few = [text for pair, text in first if pair in ({competing[0], baseline}, set(competing[:2]))]
        students = [c for c in self.comparisons if {c.a, c.b} <= set(competing)]
        return [*few, findings.against_baseline(students, self.titles, baseline)]

    @property
    def search_findings(self) -> list[str]:
        """How well passages were found at test, in sentences."""
        return sentences(self.searches)

    @property
    def leading(self) -> list[bool]:
        """For each comparison whether it is to be shown at once: all of few; of many, `leading_pairs`."""
        if len(self.comparisons) <= MANY_COMPARISONS:
            return [True] * len(self.comparisons)
        pairs = leading_pairs(self.arms, findings.ranked(self.arms, self.scores), self.run.results.get("baseline"))
        return [{c.a, c.b} in pairs for c in self.comparisons]

    @property
    def sources(self) -> list[Source]:
        """Teacher and mentors."""
        return read_sources(self.run.results)

    @property
    def titles(self) -> dict[str, str]:
        """What people call each arm."""
        return {arm.arm: arm.title for arm in self.run.arms}


MANY_FINDINGS = 5
MANY_COMPARISONS = 12


def leading_pairs(arms: Sequence[ArmRun], competing: Sequence[str], baseline: str | None) -> list[set[str]]:
    """Every arm with the baseline, neighbours within a sweep, and the best student with the next best."""
    neighbours = [
        {arms[a.arm].arm, arms[b.arm].arm}
        for sweep in find_sweeps(arms)
        for series in sweep.series
        for a, b in pairwise(series.points)
    ]
    return [*({arm.arm, baseline} for arm in arms if baseline), *neighbours, set(competing[:2])]


def write_report(run: Path) -> Report:
    """Read a finished run folder and write its report into it. Raises RunError where the folder is damaged."""
    from tutelage.report.markdown import markdown
    from tutelage.report.page import page

    report = make_report(read_run(run))
    write_json(run / "report.json", as_json(report))
    write_text(run / "report.md", markdown(report))
    write_text(run / "report.html", page(report))
    return report


def make_report(run: Run) -> Report:
    """Every figure and sentence of the report. Raises RunError when arms answered different questions."""
    predictions = {arm.arm: arm.predictions for arm in run.arms}
    baseline = run.results.get("baseline")
    origins = {arm.arm: arm.origin for arm in run.arms}
    answers = {arm: answers_of(by_seed, origins[arm]) for arm, by_seed in predictions.items()}
    scores = {
        arm: score_arm(by_seed, origins[arm], [other for name, other in answers.items() if name != arm])
        for arm, by_seed in predictions.items()
    }
    comparisons = compare_arms(predictions, baseline, origins=origins)
    constant = _against_constant(run, origins)
    titles = {arm.arm: arm.title for arm in run.arms}
    return Report(
        run=run,
        scores=scores,
        comparisons=tuple(comparisons),
        headline=findings.headline(run.arms, scores, comparisons, run.reference, constant),
        findings=tuple(findings.sentence(c, titles) for c in comparisons),
        cautions=_cautions(run, scores, constant),
        searches=tuple(read_searches(run.results)),
        gates=tuple(read_gates(run.results)),
        against_constant=tuple(constant),
    )


def _against_constant(run: Run, origins: Mapping[str, Origin]) -> list[Comparison]:
    if run.reference is None:
        return []
    is_right = {question.id: question.answer == run.reference.answer for question in run.questions}
    return compare_with_constant({arm.arm: arm.predictions for arm in run.arms}, is_right, origins=origins)


def _cautions(run: Run, scores: Mapping[str, ArmScore], constant: Sequence[Comparison]) -> tuple[str, ...]:
    looked_up = [*shown.cautions(run.results, run.arms), *learning.cautions(run.rerankers)]
    return (
        *findings.merged_warnings(run.results.get("warnings") or (), [arm.title for arm in run.arms]),
        *findings.cautions(run.arms, scores, run.reference, constant),
        *findings.said_once(looked_up),
    )


CARRIED = ("task", "seeds", "baseline", "recipe", "command", "versions", "commit", "machine")
"""What report.json takes over from results.json as it is."""

LOOKED_UP = ("retrieval", "gates", "prompts")
"""Lists that report.json takes over; empty where nothing was looked up."""


def as_json(report: Report) -> dict[str, Any]:
    """The content of report.json: shares in [0, 1], differences in [-1, 1], times in seconds."""
    results = report.run.results
    return {
        "name": results.get("name"),
        "title": results.get("title"),
        "headline": report.headline,
        "findings": [*report.findings, *report.search_findings],
        "cautions": list(report.cautions),
        "arms": [_arm(arm, report.scores[arm.arm]) for arm in report.arms],
        "comparisons": [{**c._asdict(), "discordant": c.discordant} for c in report.comparisons],
        "reference": asdict(report.run.reference) if report.run.reference else None,
        "against_constant": [c._asdict() for c in report.against_constant],
        "sources": list(sources_of(results)),
        "soft_labels": list(results.get("soft_labels") or ()),
        **{key: list(results.get(key) or ()) for key in LOOKED_UP},
        "rerankers": [_reranker(learnt) for learnt in report.run.rerankers],
        **{key: results.get(key) for key in CARRIED},
        "seconds": results.get("seconds"),
        "started": results.get("started"),
        "finished": results.get("finished"),
    }


def _reranker(learnt: Learnt) -> dict[str, Any]:
    known = {
        "base": learnt.name,
        "kind": learnt.kind,
        "arms": list(learnt.arms),
        "select": learnt.select,
        "seed": learnt.seed,
    }
    return {**known, "best_epoch": learnt.best_epoch, "history": list(learnt.history)}


def _arm(arm: ArmRun, score: ArmScore) -> dict[str, Any]:
    return {
        "arm": arm.arm,
        "title": arm.title,
        "reference": arm.is_reference,
        "leaks": arm.leaks,
        **{key: list(value) if isinstance(value, tuple) else value for key, value in score._asdict().items()},
        "training": [{"seed": seed, **trained.training} for seed, trained in arm.by_seed.items()],
        "seconds": seconds_of(arm),
    }


def seconds_of(arm: ArmRun) -> dict[str, float]:
    """Seconds spent on an arm over all its seeds, by what was done."""
    kinds = dict.fromkeys(kind for trained in arm.by_seed.values() for kind in trained.seconds)
    return {kind: round(sum(t.seconds.get(kind) or 0.0 for t in arm.by_seed.values()), 3) for kind in kinds}

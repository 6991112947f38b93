"""The report as Markdown that reads well unrendered: in a terminal, in a pull request, in a paper's supplement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tutelage.report.cost import read_costs
from tutelage.report.findings import interval, is_shown, listed, p_value, percent, signed
from tutelage.report.lookups.gates import HEADS, about
from tutelage.report.lookups.learning import sentence
from tutelage.report.lookups.rerankers import by_seeds
from tutelage.report.lookups.searches import Search, Searches, are_several, counted
from tutelage.report.pairs import pair_lines
from tutelage.report.report import Report
from tutelage.report.run import ArmRun
from tutelage.report.sources import Source, sentences, soft_label_lines


def markdown(report: Report) -> str:
    """The whole of report.md. Times stand in one line of its own that starts with "Took"."""
    results = report.run.results
    blocks = [
        f"# {plain(results.get('title') or results.get('name') or 'Report')}",
        f"**{plain(report.headline)}.**",
        _setting(report),
        table(*_arms(report)),
        bullets([*report.key_findings, *report.search_findings]),
    ]
    if report.comparisons:
        blocks += ["## Comparisons", table(*_comparisons(report)), _left_out(report), _about_tests(report)]
    if report.searches or report.gates or report.run.rerankers:
        blocks += ["## What was found", *_found(report)]
    if report.cautions:
        blocks += ["## Keep in mind", bullets(report.cautions)]
    if report.sources:
        blocks += ["## Where the rationales came from", "\n".join(map(_source, report.sources))]
    for paid in read_costs(report.run.results, report.arms, report.scores):
        blocks += [f"## What the teacher cost: {plain(paid.name)}", bullets(paid.lines)]
    blocks += ["## Again", *_again(report)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _setting(report: Report) -> str:
    counts = (report.run.results.get("task") or {}).get("counts") or {}
    asked = ", ".join(f"{count} {split}" for split, count in counts.items())
    seeds = sorted({seed for arm in report.arms for seed in arm.by_seed})
    name = (report.run.results.get("task") or {}).get("name", "")
    return (
        f"Task {plain(name)} ({asked}); {count(len(report.run.questions), 'test question')} answered, "
        f"{count(len(seeds), 'seed')} an arm ({', '.join(map(str, seeds))}). Intervals are 95%."
    )


def _arms(report: Report) -> tuple[list[str], list[list[str]]]:
    heads = ["arm", "accuracy", "interval", "by seed", "unread", "tokens"]
    rows: list[list[str]] = []
    for arm in report.arms:
        score = report.scores[arm.arm]
        rows.append(
            [
                _named(arm),
                percent(score.accuracy),
                interval(score.low, score.high),
                " ".join(percent(share) for share in score.per_seed),
                percent(score.unread / (score.n * len(score.seeds))),
                "–" if score.tokens_mean is None else f"{score.tokens_mean:.0f}",
            ]
        )
    if reference := report.run.reference:
        rows.append([f"(always “{plain(reference.answer)}”)", percent(reference.accuracy), "", "", "", ""])
    return heads, rows


def _named(arm: ArmRun) -> str:
    """Its title with the note, in italics where it competes with none."""
    title = f"*{plain(arm.title)}*" if arm.is_reference or arm.leaks else plain(arm.title)
    return f"{title} ({arm.note})" if arm.note else title


def _comparisons(report: Report) -> tuple[list[str], list[list[str]]]:
    marked = {arm.arm: f"{arm.title} (leaks)" if arm.leaks else arm.title for arm in report.arms}
    heads = ["pair", "points", "interval", "p", "p (Holm)", "won : lost", "shown"]
    return heads, [
        [
            f"{plain(marked[c.a])} − {plain(marked[c.b])}",
            signed(c.difference),
            interval(c.low, c.high),
            p_value(c.p),
            p_value(c.p_holm),
            f"{c.a_only} : {c.b_only}",
            "–" if c.p_holm is None else "yes" if is_shown(c) else "no",
        ]
        for c, leads in zip(report.comparisons, report.leading, strict=True)
        if leads
    ]


def _left_out(report: Report) -> str:
    hidden = report.leading.count(False)
    return f"{count(hidden, 'other pair')} of arms: see report.json or report.html." if hidden else ""


def _about_tests(report: Report) -> str:
    tests = sorted({c.test for c in report.comparisons})
    return (
        f"Test: {', '.join(tests)}; Holm's correction covers {count(tested(report), 'comparison')}. "
        "Won and lost count questions answered correctly more often by the first or the second of a pair."
    )


def tested(report: Report) -> int:
    """How many comparisons have a p-value."""
    return sum(c.p is not None for c in report.comparisons)


def _found(report: Report) -> Iterator[str]:
    """A table for each split and knowledge base, how the rerankers learnt, what dev said of each student's passages."""
    for searches in report.searches:
        whose = f" For {listed(searches.arms)}." if are_several(report.searches) else ""
        yield f"{plain(counted(searches) + whose)} Intervals are 95%."
        yield table(*_searches(searches))
    for group in by_seeds(report.run.rerankers):
        yield plain(f"Reranker from {group[0].name}, for {listed(group[0].arms)}: {sentence(group)}")
    if report.gates:
        yield about(list(report.gates))
        yield table(HEADS, [[plain(cell) for cell in gate.cells] for gate in report.gates])


def _searches(searches: Searches) -> tuple[list[str], list[list[str]]]:
    cutoffs = sorted({k for search in searches.found for k in search.hits})
    return ["search", *(f"Hits@{k}" for k in cutoffs)], [
        [plain(searches.title(search)), *(_share(search, k) for k in cutoffs)] for search in searches.found
    ]


def _share(search: Search, k: int) -> str:
    share = search.hits.get(k)
    return f"{percent(share.value)} {interval(share.low, share.high)}" if share else "–"


def _source(source: Source) -> str:
    """A bullet for a teacher or mentor; its arms are named where there may be several of its role."""
    role = source.role[:1].upper() + source.role[1:]
    whose = f", for {plain(' and '.join(source.arms))}" if source.role == "mentor" and source.arms else ""
    seeds = f", {count_of_seeds(source.seeds)}" if source.seeds else ""
    became = ", ".join(f"{number:,} {plain(name)}" for name, number in source.counts.items())
    said = [became + ".", *sentences(source), *map(plain, source.notes)]
    return f"- {role} {plain(source.name)}{whose}{seeds}: {' '.join(said)}"


def _again(report: Report) -> list[str]:
    results = report.run.results
    versions = ", ".join(f"{name} {version}" for name, version in (results.get("versions") or {}).items())
    commit = f", commit {results['commit']}" if results.get("commit") else ""
    took = f"Took {results['seconds']:.0f} s on {results.get('machine') or 'an unknown machine'}."
    soft = [f"Soft labels: {plain(line)}." for line in soft_label_lines(results)]
    pairs = [f"Pairs of rationales: {plain(line)}." for line in pair_lines(report.arms)]
    command = f"```sh\n{results.get('command', '')}\n```"
    return [command, f"{versions}{commit}.", *soft, *pairs, took if results.get("seconds") else ""]


def count(number: int, noun: str) -> str:
    """A number with its noun: 1 seed, 3 seeds."""
    return f"{number} {noun}" + "s" * (number != 1)


def count_of_seeds(seeds: Sequence[int]) -> str:
    """Which seeds: seed 2, 3 seeds (1, 2, 3)."""
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds ({', '.join(map(str, seeds))})"


def plain(text: str) -> str:
    """Text that Markdown cannot take for markup or for the end of a cell.

    Brackets stay as they are: intervals stand in them, and without an address behind them they are no link.
    """
    for mark in "\\`*_<>|#":
        text = text.replace(mark, "\\" + mark)
    return " ".join(text.split())


def bullets(lines: Sequence[str]) -> str:
    """A list, one line an entry."""
    return "\n".join(f"- {plain(line)}" for line in lines)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with aligned columns: the first to the left, figures to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(heads, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        aligned = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return f"| {' | '.join(aligned)} |"

    rule = [("-" * w) if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join(map(line, (heads, rule, *rows)))

"""Passages on the page: each once, none lost, none taken for markup."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from looked_up import INDEX, look_up
from synthetic_run import HOSTILE

from tutelage.report import write_report
from tutelage.report.browser import texts
from tutelage.report.lookups.passages import Cited, Numbered, read_cited
from tutelage.report.run import read_run

MakeRun = Callable[..., Path]


def test_every_answer_cites_its_passages(make_run: MakeRun):
    """An answer that cannot be traced to what was read cannot be judged."""
    report = write_report(look_up(make_run(arms=("fine-tuning", "kard"), seeds=(1,), test=6), unshown=2))
    passages = Numbered(report.run.passages)
    (trained,) = report.arms[1].by_seed.values()
    rows = texts(report, 1, trained, passages)
    for n, (_, rationales, found) in enumerate(rows):
        assert [(passages.rows[number][0], score, right) for number, score, right in found] == [
            (f"p-{n}", 9.5, 1),
            (f"p-{n + 1}", 8.5, 0),
        ]
        assert len(rationales[0][5]) == (1 if n < 2 else 2)
    assert len(passages.rows) == 7, "a passage stands on the page once"
    assert passages.rows[0] == ["p-0", "Jar p-0", "The beads are kept in a jar."]


def test_one_id_in_two_indexes_is_two_passages():
    """Two corpora both have a p-1; showing one text for the other is a false citation."""
    known = {("a", "p-1"): Cited("A", "of a", frozenset()), ("b", "p-1"): Cited("B", "of b", frozenset())}
    passages = Numbered(known)
    assert [passages.number(index, "p-1") for index in ("a", "b", "a", "c")] == [0, 1, 0, 2]
    assert passages.rows == [["p-1", "A", "of a"], ["p-1", "B", "of b"], ["p-1", "", None]]


def test_a_run_that_looked_nothing_up_has_no_passages(make_run: MakeRun):
    """Neither have runs of before passages were kept."""
    run = make_run(test=4)
    assert read_cited(run, {}) == read_cited(run, {"passages": None}) == {}
    assert read_run(run).passages == {}


def test_passages_are_never_markup(make_run: MakeRun):
    """The web writes worse things than models do."""
    run = look_up(make_run(arms=("fine-tuning", "kard"), test=4), text=HOSTILE)
    write_report(run)
    page = (run / "report.html").read_text()
    assert "<img" not in page
    _, _, rest = page.partition('id="passages">')
    rows = json.loads(rest.partition("</script>")[0])
    assert {text for _, _, text in rows} == {HOSTILE}
    assert INDEX not in page

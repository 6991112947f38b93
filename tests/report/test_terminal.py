"""The table at the end of a run."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from tutelage.report import print_table, write_report
from tutelage.report.terminal import WIDTH, bar


def test_the_table_tells_the_finding_and_every_arm(make_run: Callable[..., Path]):
    """Whoever sees nothing but the terminal must see the interval too."""
    report = write_report(make_run(test=40))
    out = io.StringIO()
    print_table(report, Console(file=out, width=120))
    text = out.getvalue()
    assert report.headline in text
    for arm in report.arms:
        (line,) = [x for x in text.splitlines() if x.startswith(arm.title) and "█" in x]
        score = report.scores[arm.arm]
        assert f"{100 * score.accuracy:.1f}%" in line
        assert f"[{100 * score.low:.1f}, {100 * score.high:.1f}]" in line
    assert report.findings[0].split(",")[0] in text
    assert "! Two seeds hardly tell" in text


def test_markup_in_titles_is_text(make_run: Callable[..., Path]):
    """The table maker would eat [b] or fail on [/b]."""
    run = make_run(test=6)
    results = (run / "results.json").read_text().replace('"Fine-tuning"', '"[/b] arm"')
    (run / "results.json").write_text(results)
    out = io.StringIO()
    print_table(write_report(run), Console(file=out, width=120))
    assert "[/b] arm" in out.getvalue()


def test_a_bar_is_as_long_as_its_interval_reaches(make_run: Callable[..., Path]):
    """Blocks that disagree with the figures beside them are worse than none."""
    report = write_report(make_run(test=40))
    score = report.scores["fine-tuning"]._replace(low=0.25, accuracy=0.5, high=0.75)
    assert bar(score).plain == "█" * (WIDTH // 4) + "▓" * (WIDTH // 4) + "░" * (WIDTH // 4)

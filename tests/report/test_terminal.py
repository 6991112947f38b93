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
    assert bar(score, 12).plain == "███▓▓▓░░░"


def test_a_plain_terminal_has_room_for_bars(make_run: Callable[..., Path]):
    """Most terminals are eighty columns wide; titles of our own methods must fit beside their bars."""
    out = io.StringIO()
    print_table(write_report(make_run(test=60, seeds=(1, 2, 3))), Console(file=out, width=80))
    assert [line for line in out.getvalue().splitlines() if line.startswith("Reasoning distillation ") and "█" in line]


def test_figures_stay_whole_beside_long_titles(make_run: Callable[..., Path]):
    """An interval broken over two lines, or cut to "[23.0, …", is no interval."""
    arms = ("fine-tuning", *(f"mentor-kd temperature={t}.5 soft_labels.weight=0.0{t}" for t in range(1, 4)), "mentor")
    report = write_report(make_run(test=40, arms=arms))
    for width in (60, 80, 120):
        out = io.StringIO()
        print_table(report, Console(file=out, width=width))
        text = out.getvalue()
        assert max(map(len, text.splitlines())) <= width
        assert "…" not in text
        for score in report.scores.values():
            assert f"[{100 * score.low:.1f}, {100 * score.high:.1f}]" in text
        assert "(reference)" in text
        assert ("█" in text) is (width == 120)


def test_sources_take_a_line_a_role(make_run: Callable[..., Path]):
    """What the mentor made of it is the point of Mentor-KD; nine mentors are still one line."""
    out = io.StringIO()
    arms = ("fine-tuning", "mentor-kd", "mentor-kd samples=2")
    print_table(write_report(make_run(test=9, arms=arms, mentors=True)), Console(file=out, width=200))
    lines = out.getvalue().splitlines()
    assert [x.strip() for x in lines if "texts kept" in x] == [
        "• Teacher (pocket (rule-based, 7% mistakes)): 214 of 240 texts kept.",
        "• 4 mentors (pocket/mini): 2,766 of 4,320 texts kept; "
        "926 of 1,360 questions filled that the teacher had left without.",
    ]

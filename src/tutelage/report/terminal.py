"""The last thing `tutelage run` prints: the finding, and a table of the arms."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tutelage.evaluation.metrics import ArmScore
from tutelage.report.findings import interval, percent
from tutelage.report.report import Report
from tutelage.report.sources import by_role

WIDTH = 24
"""Of a bar, where there is room."""
LEAST = 12
"""A shorter bar shows nothing."""
TITLE = 12
"""The least width of an arm's title."""
FIGURES = 42
"""Width of the columns of figures, with all gaps."""


def print_table(report: Report, console: Console | None = None) -> None:
    """Arms with accuracy, interval, unread answers and bars, then findings, sources, and every caution.

    Figures are never cut: bars take what room titles leave, where it is enough, and longer titles take more lines.
    """
    console = console or Console()
    titles = [arm.marked for arm in report.arms]
    room = min(WIDTH, console.width - FIGURES - max([TITLE, *map(len, titles)]))
    bars = room >= LEAST
    table = Table(title=Text(report.headline, "bold"), title_justify="left", box=None, pad_edge=False)
    table.add_column("arm", overflow="fold", min_width=TITLE)
    for head in ("accuracy", "95% interval", "unread", "n"):
        table.add_column(head, justify="right", no_wrap=True)
    if bars:
        table.add_column("0% " + "100%".rjust(room - 3), no_wrap=True)
    for arm, title in zip(report.arms, titles, strict=True):
        score = report.scores[arm.arm]
        table.add_row(
            Text(title, "italic" if arm.is_reference else ""),
            percent(score.accuracy),
            Text(interval(score.low, score.high)),
            percent(score.unread / (score.n * len(score.seeds))),
            f"{score.n}",
            *([bar(score, room)] if bars else []),
        )
    console.print()
    console.print(table)
    console.print()
    lines = Table.grid(padding=(0, 1))
    for finding in (*report.key_findings, *report.search_findings):
        lines.add_row("•", Text(finding))
    for line in by_role(report.sources):
        lines.add_row("•", Text(line))
    for caution in report.cautions:
        lines.add_row(Text("!", style="yellow"), Text(caution, style="yellow"))
    console.print(lines)


def bar(score: ArmScore, width: int = WIDTH) -> Text:
    """Accuracy as blocks from 0 to 100%: full up to the interval, shaded within it, lighter beyond the mean."""
    middles = [(cell + 0.5) / width for cell in range(width)]
    full = sum(middle < score.low for middle in middles)
    likely = sum(score.low <= middle < score.accuracy for middle in middles)
    possible = sum(score.accuracy <= middle <= score.high for middle in middles)
    return Text("█" * full + "▓" * likely + "░" * possible, style="cyan")

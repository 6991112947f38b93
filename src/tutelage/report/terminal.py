"""The last thing `tutelage run` prints: the finding, and a table of the arms."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tutelage.evaluation.metrics import ArmScore
from tutelage.report.findings import interval, percent
from tutelage.report.report import Report

WIDTH = 24


def print_table(report: Report, console: Console | None = None) -> None:
    """Arms with accuracy, interval, unread answers and bars, then every finding and caution."""
    console = console or Console()
    table = Table("arm", title=Text(report.headline, "bold"), title_justify="left", box=None, pad_edge=False)
    for head in ("accuracy", "95% interval", "unread", "n"):
        table.add_column(head, justify="right")
    table.add_column("0% " + "100%".rjust(WIDTH - 3), no_wrap=True)
    for arm in report.arms:
        score = report.scores[arm.arm]
        table.add_row(
            Text(arm.title),
            percent(score.accuracy),
            Text(interval(score.low, score.high)),
            percent(score.unread / (score.n * len(score.seeds))),
            f"{score.n}",
            bar(score),
        )
    console.print()
    console.print(table)
    console.print()
    lines = Table.grid(padding=(0, 1))
    for finding in report.key_findings:
        lines.add_row("•", Text(finding))
    for caution in report.cautions:
        lines.add_row(Text("!", style="yellow"), Text(caution, style="yellow"))
    console.print(lines)


def bar(score: ArmScore) -> Text:
    """Accuracy as blocks from 0 to 100%: full up to the interval, shaded within it, lighter beyond the mean."""
    middles = [(cell + 0.5) / WIDTH for cell in range(WIDTH)]
    full = sum(middle < score.low for middle in middles)
    likely = sum(score.low <= middle < score.accuracy for middle in middles)
    possible = sum(score.accuracy <= middle <= score.high for middle in middles)
    return Text("█" * full + "▓" * likely + "░" * possible, style="cyan")

"""What a run found: as JSON, as Markdown, as one self-contained page, and as a table in the terminal."""

from tutelage.report.report import Report, write_report
from tutelage.report.terminal import print_table

__all__ = ["Report", "print_table", "write_report"]

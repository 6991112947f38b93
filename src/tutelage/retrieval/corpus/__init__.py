"""What is searched: rows and documents of any kind as passages. See `read_corpus`."""

from tutelage.retrieval.corpus.read import read_corpus
from tutelage.retrieval.corpus.report import Report
from tutelage.retrieval.corpus.rows import Fields

__all__ = ["Fields", "Report", "read_corpus"]

"""What is searched: rows and documents of any kind as passages. See `read_corpus`."""

from tutelage.retrieval.corpus.read import files_of, read_corpus
from tutelage.retrieval.corpus.report import Report
from tutelage.retrieval.corpus.rows import Fields

__all__ = ["Fields", "Report", "files_of", "read_corpus"]

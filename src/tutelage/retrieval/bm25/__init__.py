"""BM25 on tantivy with an exact scorer: see `Bm25`."""

from tutelage.retrieval.bm25.bm25 import Bm25

__all__ = ["Bm25"]

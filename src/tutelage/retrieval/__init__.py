"""What is looked up: a corpus, the search over it, and the reranker that looks closer."""

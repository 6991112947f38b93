"""Passages for a question that is asked long after the study: looked up as they were at its test.

What a student's card says of them, with paths as seen from its folder:

    {"index": "../../stages/index-0fb4b777888e/index", "retriever": "bm25", "k1": 0.9, "b": 0.4,
     "query": "question-and-choices", "passages": 1,
     "reranker": "../../stages/reranker-e8249a2a1e45/model", "kind": "late-interaction", "candidates": 20,
     "vectors": "../../vectors/5d0c1be7a913"}

The last two lines stand there only for a student whose passages a reranker chooses, the last for one whose vectors of
passages are kept: those that the study has seen are not encoded again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tutelage.errors import ModelError
from tutelage.methods.knowledge import open_index, query_of
from tutelage.recipe import KnowledgeSection
from tutelage.retrieval.corpus.documents import document_of
from tutelage.runs import is_finished, read_json
from tutelage.types import Hit, Passage, Question


class LookUp:
    """An index and, where there is one, a reranker: opened once for many questions."""

    def __init__(self, student: Path, card: Mapping[str, Any]) -> None:
        """Raises ModelError where the folders that the card of this student names are gone."""
        from tutelage.retrieval.reranker import load_reranker

        index = (student.resolve() / card["index"]).resolve()
        if not index.is_dir():
            raise ModelError(
                f"{student} looks passages up in {index}, which is not there. A student stays in the folder of its "
                "run; move or copy the whole of it."
            )
        self.settings = KnowledgeSection(
            index=str(index), **{key: card[key] for key in ("retriever", "k1", "b", "query", "passages")}
        )
        self.index = open_index(self.settings, index)
        self.candidates: int = card.get("candidates", 0)
        reranker = student.resolve() / card["reranker"] if "reranker" in card else None
        found = reranker.resolve() if reranker and reranker.is_dir() else card.get("reranker")
        kept = student.resolve() / card["vectors"] if "vectors" in card else None
        keep = {"vectors": kept.resolve()} if kept and kept.is_dir() and os.access(kept, os.W_OK) else {}
        self.reranker = load_reranker(card["kind"], found, **keep) if found else None

    def passages(self, question: Question) -> list[Passage]:
        """The passages that stand beside this question, best first."""
        return self.index.passages([hit.passage_id for hit in self.hits(question)])

    def documents(self, passages: Sequence[Passage]) -> list[str | None]:
        """For each passage the path of the document that it was cut from, beginning with its corpus as the recipe names
        it; None for one that was a row of a file.

        Passages know their document within the corpus alone: of several corpora the one is named that has such a file,
        and of an index from outside none.
        """
        stage = Path(str(self.settings.index)).parent
        corpora = read_json(stage / "corpus.json")["corpora"] if is_finished(stage) else []
        return [_path(document_of(passage.id), corpora) for passage in passages]

    def hits(self, question: Question) -> list[Hit]:
        """The same with the scores that chose them."""
        from tutelage.retrieval.reranker import rerank

        query, wanted = query_of(question, self.settings.query), self.settings.passages
        [found] = self.index.search([query], self.candidates if self.reranker else wanted)
        if self.reranker is None:
            return found
        ids = [hit.passage_id for hit in found]
        texts = dict(zip(ids, self.index.passages(ids), strict=True))
        [best] = rerank(self.reranker, [query], [found], texts, wanted)
        return best


def _path(document: str | None, corpora: Sequence[str]) -> str | None:
    if document is None:
        return None
    # A corpus is a folder of documents, or one document.
    paths = [Path(name).parent / document if Path(name).name == document else Path(name) / document for name in corpora]
    there = [path for path in paths if path.expanduser().is_file()]
    chosen = there if there else paths
    return chosen[0].as_posix() if len(chosen) == 1 else document

"""The documents that hold the answers, as the user's own questions name them, and their passages.

    question,answer,document
    How long is the warranty on instruments?,24 months,support/warranty-and-returns.md

The passages of a document have ids "support/warranty-and-returns.md#0", "...#1". Any of them is a right one to find:
the data says in which document the answer stands, not in which passage of it. A row of a corpus file is a document of
its own, named by its id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

from tutelage.methods.corpora import BUILT_IN, open_corpus, together
from tutelage.recipe import KnowledgeSection, TaskSection
from tutelage.retrieval.corpus.documents import document_of
from tutelage.types import Question


def gold_documents(question: Question) -> tuple[str, ...]:
    """The documents that hold the answer to a question; empty where its data names none."""
    return tuple(question.meta.get("gold_documents", "").splitlines())


def passages_of_documents(
    settings: KnowledgeSection, task: TaskSection, questions: Iterable[Question]
) -> dict[str, frozenset[str]]:
    """The ids of all passages of the documents that each question names.

    A question without documents is left out, and so is one whose documents are not in the corpus. Of a finished index
    (`knowledge.index`) nobody knows which documents are in it: there are none then.
    """
    named = {question.id: gold_documents(question) for question in questions}
    wanted = {document for documents in named.values() for document in documents}
    ids: dict[str, set[str]] = {}
    if wanted and settings.corpora:
        for passage in together(open_corpus(name, settings, task) for name in settings.corpora):
            for document in {passage.id, document_of(passage.id)} & wanted:
                ids.setdefault(document, set()).add(passage.id)
    found = {id: frozenset(i for d in documents for i in ids.get(d, ())) for id, documents in named.items()}
    return {id: passages for id, passages in found.items() if passages}


def missing_documents(settings: KnowledgeSection, questions: Sequence[Question]) -> list[str]:
    """One sentence for each document that a question names and the corpus lacks.

    Only documents on disk are looked at: the rows of a data file have no names before they are read.
    """
    known: set[str] = set()
    for name in settings.corpora:
        path = Path(name).expanduser()
        if name in BUILT_IN or not path.exists() or (documents := _documents(path)) is None:
            return []
        known |= documents
    first: dict[str, Question] = {}
    for question in questions if settings.corpora else ():
        for document in gold_documents(question):
            first.setdefault(document, question)
    return [_missing(document, first[document], known) for document in first if document not in known]


def _missing(document: str, question: Question, known: set[str]) -> str:
    near = get_close_matches(document, sorted(known), n=1, cutoff=0.5)
    guess = f"; did you mean {near[0]!r}?" if near else ". Name it by its path within the corpus."
    return f"{question.meta.get('where', question.id)}: no document {document!r} in the corpus{guess}"


def _documents(path: Path) -> set[str] | None:
    """The documents of a file or folder; None where it holds rows."""
    from tutelage.retrieval.corpus import files_of
    from tutelage.retrieval.corpus.documents import READERS

    files = files_of(path) if path.is_dir() else [path]
    if any(file.suffix.lower() not in READERS for file in files):
        return None
    return {file.relative_to(path).as_posix() if path.is_dir() else file.name for file in files}

"""The corpora a recipe can name: those that come with a task, and whatever `tutelage index` reads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tutelage.errors import RecipeError
from tutelage.plugins import resolve, unknown
from tutelage.recipe import KnowledgeSection, TaskSection
from tutelage.runs import Json
from tutelage.tasks.published import find_file
from tutelage.types import Passage


class Corpus(NamedTuple):
    """Passages, and what they amount to without reading them twice."""

    content: Json
    """Changes when the passages do."""
    passages: Callable[[], Iterable[Passage]]


def open_corpus(name: str, knowledge: KnowledgeSection, task: TaskSection) -> Corpus:
    """A built-in corpus by its name, or the user's own file, folder or hub data set.

    Raises TaskError or RecipeError where there is no such thing.
    """
    if name in BUILT_IN:
        return BUILT_IN[name](task)
    path = Path(name).expanduser()
    if name and path.exists():
        cutting = {"words": knowledge.words, "overlap": knowledge.overlap}
        return Corpus({"content": _digest(path), **cutting}, lambda: _read(path, **cutting))
    if not _can_be_on_hub(name):
        raise RecipeError(f"no file or folder of that name, and {unknown('built-in corpus', name, BUILT_IN)}")
    return Corpus({"hub": name, "words": knowledge.words}, lambda: _read(name, words=knowledge.words))


def _can_be_on_hub(name: str) -> bool:
    """Whether this may be "owner/name:config@split"; what begins like a built-in corpus is one misspelt."""
    data_set = name.partition("@")[0].partition(":")[0]
    owner, slash, rest = data_set.partition("/")
    built_in = {known.partition("/")[0] for known in BUILT_IN}
    return bool(slash and rest) and name[0] not in "/.~" and owner not in built_in and not Path(data_set).suffix


def together(corpora: Iterable[Corpus]) -> Iterator[Passage]:
    """The passages of several corpora, one after another."""
    for corpus in corpora:
        yield from corpus.passages()


def _read(source: str | Path, *, words: int, overlap: int = 0) -> Iterator[Passage]:
    from tutelage.retrieval.corpus import read_corpus

    return read_corpus(source, words=words, overlap=overlap)


def _digest(path: Path) -> str:
    """SHA-256 over names and contents of a file, or of what is read of a folder; every stage asks, reckoned once."""
    from tutelage.retrieval.corpus import files_of

    files = files_of(path) if path.is_dir() else [path]
    stamps = tuple((str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files)
    return _content(str(path), stamps)


@cache
def _content(root: str, stamps: tuple[tuple[str, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for name, _, _ in stamps:
        digest.update(str(Path(name).relative_to(Path(root).parent)).encode())
        with Path(name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _atlas(task: TaskSection) -> Corpus:
    passages: Callable[[], list[Passage]] = resolve("tutelage.pocket.atlas:corpus", {}, "corpus")
    rows = json.dumps([[p.id, p.title, p.text] for p in passages()])
    return Corpus(hashlib.sha256(rows.encode()).hexdigest(), passages)


def _open_book(task: TaskSection) -> Corpus:
    """The 1,326 facts that OpenbookQA's questions were written from, one a line, in quotes."""
    path = find_file(task.data, ["openbookqa/Data/Main/openbook.txt", "Data/Main/openbook.txt", "openbook.txt"])

    def passages() -> Iterator[Passage]:
        facts = path.read_text(encoding="utf-8").splitlines()
        for number, fact in enumerate(dict.fromkeys(f.strip().strip('"').strip() for f in facts if f.strip())):
            yield Passage(f"fact-{number:04d}", "", fact)

    return Corpus(_digest(path), passages)


def _strategy_texts(field: str) -> Callable[[TaskSection], Corpus]:
    """StrategyQA's annotated facts, or the sentences of Wikipedia that its annotators found, each once."""
    suffix = {"facts": "", "sentences": "_gold_sentences"}[field]

    def of(task: TaskSection) -> Corpus:
        names = [f"{split}{suffix}.json" for split in ("train", "dev")]
        paths = [find_file(task.data, [f"strategyqa/{name}", name]) for name in names]

        def passages() -> Iterator[Passage]:
            texts: dict[str, str] = {}
            for row in (row for path in paths for row in json.loads(path.read_text(encoding="utf-8"))):
                found = row["facts"] if field == "facts" else _sentences(row)
                texts |= {text: row.get("term") or "" for text in found if text not in texts}
            for number, (text, term) in enumerate(texts.items()):
                yield Passage(f"{field}-{number:05d}", term, text)

        return Corpus([_digest(path) for path in paths], passages)

    return of


def _sentences(row: dict[str, list[list[str]]]) -> list[str]:
    return [text.strip() for step in row["golden_sentence"] for text in step if text.strip()]


def _wikipedia(task: TaskSection) -> Corpus:
    path = find_file(task.data, ["wiki_kb/all_passages.jsonl.gz", "all_passages.jsonl.gz"])
    return Corpus(_digest(path), lambda: _read(path, words=1000))


BUILT_IN: dict[str, Callable[[TaskSection], Corpus]] = {
    "pocket/atlas": _atlas,
    "openbookqa/facts": _open_book,
    "strategyqa/facts": _strategy_texts("facts"),
    "strategyqa/sentences": _strategy_texts("sentences"),
    "wikipedia-sample": _wikipedia,
}
"""Corpora that come with the package or with published data, each made from the task's section."""

"""A corpus as passages, whatever it is kept in, in flat memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from tutelage.errors import CorpusError, all_problems
from tutelage.retrieval.batches import batches, letters
from tutelage.retrieval.corpus.documents import READERS, passage_id
from tutelage.retrieval.corpus.report import Report
from tutelage.retrieval.corpus.rows import Fields, Located, read_hub, read_json_lines, read_parquet
from tutelage.retrieval.corpus.sentences import cut
from tutelage.retrieval.seen import Seen, digests
from tutelage.types import Passage

BATCH = 1024

ROW_READERS: Mapping[str, Callable[[Path, str, Fields, Report], Iterator[Located]]] = {
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json_lines,
    ".jsonl.gz": read_json_lines,
    ".ndjson.gz": read_json_lines,
    ".json.gz": read_json_lines,
    ".parquet": read_parquet,
}
"""Readers of rows by the suffix of a file."""


def read_corpus(
    source: str | Path,
    *,
    words: int = 100,
    overlap: int = 0,
    skip_bad: bool = False,
    keep_repeated: bool = False,
    fields: Fields = Fields(),  # noqa: B008
    report: Report | None = None,
) -> Iterator[Passage]:
    """Passages of a file, a folder or a hub data set, each title and text once, in the order they stand there.

    Rows (JSON lines, Parquet, hub) are passages as they are. Documents (text, Markdown, HTML, PDF) are cut into
    passages of whole sentences with at most `words` words, each repeating up to `overlap` words of the one before;
    their ids are the file's path within the folder and a number. A folder is read in the order of its paths, hidden
    files left out.

    What cannot be read, a file of an unknown kind included, ends in a CorpusError that names every place (up to 20).
    With `skip_bad` it is only told in `report`, and the rest is read. Two passages with one id but other text are such
    a problem. `keep_repeated` keeps passages that say the same under other ids. What was seen is remembered by 24
    bytes a passage.
    """
    if words < 1 or not 0 <= overlap < words:
        raise CorpusError(f"words {words}, overlap {overlap}: `words` must be at least 1 and `overlap` less than it.")
    report = report if report is not None else Report()
    return _read(source, words, overlap, skip_bad, keep_repeated, fields, report)


def _read(
    source: str | Path, words: int, overlap: int, skip_bad: bool, keep_repeated: bool, fields: Fields, report: Report
) -> Iterator[Passage]:
    located = _all(source, words, overlap, fields, report)
    for passage in _once(located, report, keep_repeated):
        if not report.bad or skip_bad:
            report.passages += 1
            yield passage
        elif report.many:
            break
    if report.bad and not skip_bad:
        raise CorpusError(
            all_problems(
                f"{source}: {'at least ' if report.many else ''}{report.bad} problems, and nothing was indexed:",
                report.problems,
                "Mend them, or index the rest with `--skip-bad`.",
            )
        )


def _once(located: Iterable[Located], report: Report, keep_repeated: bool) -> Iterator[Passage]:
    """Each passage once. An id that comes again with another text is a problem."""
    ids, contents, wholes = Seen(), Seen(), Seen()
    for batch in batches(located, lambda item: letters(item.passage), BATCH):
        passages = [item.passage for item in batch]
        content = [f"{p.title}\0{p.text}" for p in passages]
        same_id = ids.add(digests(p.id for p in passages))
        same_whole = wholes.add(digests(f"{p.id}\0{c}" for p, c in zip(passages, content, strict=True)))
        same_content = np.zeros(len(batch), np.bool_) if keep_repeated else contents.add(digests(content))
        for item, again, whole, repeated in zip(batch, same_id, same_whole, same_content, strict=True):
            if again and not whole:
                report.problem(
                    f"{item.where}: id {item.passage.id!r} came before with another text. Give each passage its own id."
                )
            elif whole or repeated:
                report.repeated += 1
            else:
                yield item.passage


def _all(source: str | Path, words: int, overlap: int, fields: Fields, report: Report) -> Iterator[Located]:
    path = Path(source).expanduser()
    if path.is_dir():
        for file in files_of(path):
            yield from _file(file, file.relative_to(path).as_posix(), words, overlap, fields, report)
    elif path.is_file():
        yield from _file(path, path.name, words, overlap, fields, report)
    elif _looks_like_hub(str(source)):
        yield from read_hub(str(source), fields, report)
    else:
        raise CorpusError(f"no file or folder {str(source)!r}. {_EXPECTED}")


def _file(path: Path, name: str, words: int, overlap: int, fields: Fields, report: Report) -> Iterator[Located]:
    if not path.stat().st_size:
        report.problem(f"{name}: empty. Take it out.")
    elif (suffix := "".join(path.suffixes[-2:] if path.suffix == ".gz" else path.suffixes[-1:]).lower()) in ROW_READERS:
        yield from ROW_READERS[suffix](path, name, fields, report)
    elif suffix in READERS:
        document = READERS[suffix](path, name, report)
        for number, text in enumerate(cut(document.paragraphs, words=words, overlap=overlap)):
            yield Located(f"{name}: passage {number}", Passage(passage_id(name, number), document.title, text))
    else:
        report.problem(f"{name}: unknown kind of file. {_EXPECTED}")


def files_of(folder: Path) -> list[Path]:
    """Files of a folder and the folders in it, hidden ones left out, in the order of their paths."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _looks_like_hub(source: str) -> bool:
    name = source.partition("@")[0].partition(":")[0]
    return name.count("/") == 1 and not name.startswith(("/", ".", "~")) and not Path(name).suffix


_EXPECTED = f"Expected {', '.join([*ROW_READERS, *READERS])}, a folder of these, or a hub data set owner/name."

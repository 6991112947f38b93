"""Documents as a title and paragraphs: plain text, Markdown, HTML and PDF."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tutelage.retrieval.corpus.lines import Line, read_lines
from tutelage.retrieval.corpus.report import Report

LARGEST = 64 * 2**20
"""Bytes of an HTML or PDF file, which must be read as a whole."""
LONGEST_PARAGRAPH = 2**20
"""Letters after which a paragraph ends, blank line or not."""


class Document(NamedTuple):
    """A document; its paragraphs are read as they are asked for."""

    title: str
    paragraphs: Iterator[str]


def read_text(path: Path, name: str, report: Report) -> Document:
    """Plain text: paragraphs stand between blank lines; the title is the file's name."""
    return Document(_stem(path), _paragraphs(read_lines(path, name, report)))


def read_markdown(path: Path, name: str, report: Report) -> Document:
    """Markdown: the title is the first heading; a heading is a paragraph of its own."""
    heading = next((m for line in read_lines(path, name, Report()) if (m := _HEADING.match(line.text))), None)
    return Document(heading.group(1) if heading else _stem(path), _paragraphs(read_lines(path, name, report)))


def read_html(path: Path, name: str, report: Report) -> Document:
    """HTML: the text of the body without scripts, styles and navigation, a paragraph for each block."""
    from selectolax.lexbor import LexborHTMLParser

    text = _whole(path, name, report)
    if text is None:
        return Document(_stem(path), iter(()))
    tree = LexborHTMLParser(text)
    title = tree.css_first("title")
    named = " ".join(title.text().split()) if title else ""
    for node in tree.css(_NO_TEXT):
        node.decompose()
    for node in tree.css(_BLOCKS):
        node.insert_before("\n\n")
        node.insert_after("\n\n")
    body = tree.body.text() if tree.body else ""
    return Document(named or _stem(path), (p for p in re.split(r"\n\s*\n", body) if p.strip()))


def read_pdf(path: Path, name: str, report: Report) -> Document:
    """PDF: the text of each page, words broken at line ends joined; the title from its properties."""
    import logging

    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it warns of every small fault that it mends
    if _too_large(path, name, report):
        return Document(_stem(path), iter(()))
    try:
        reader = PdfReader(path)
        title = str(reader.metadata.title or "") if reader.metadata else ""
        pages = len(reader.pages)
    except (PyPdfError, *_PDF_FAULTS) as error:
        report.problem(f"{name}: not a PDF that can be read ({error}). Save it again, or as text.")
        return Document(_stem(path), iter(()))
    return Document(title.strip() or _stem(path), _pages(reader, pages, name, report))


READERS: Mapping[str, Callable[[Path, str, Report], Document]] = {
    ".txt": read_text,
    ".text": read_text,
    ".md": read_markdown,
    ".markdown": read_markdown,
    ".html": read_html,
    ".htm": read_html,
    ".pdf": read_pdf,
}
"""Readers by the suffix of a file."""


def passage_id(document: str, number: int) -> str:
    """The id of a passage cut from a document: the document's path within its corpus, and a number from 0."""
    return f"{document}#{number}"


def document_of(id: str) -> str | None:
    """The path of the document that a passage was cut from, as `passage_id` put it; None for the id of a row."""
    document, mark, number = id.rpartition("#")
    is_one = mark and number.isascii() and number.isdigit() and Path(document).suffix.lower() in READERS
    return document if is_one else None


_HEADING = re.compile(r"#{1,6}\s+(.*?)\s*#*\s*$")
_NO_TEXT = "head, script, style, noscript, template, nav, svg, iframe"
_BLOCKS = (
    "p, div, br, li, ul, ol, dl, dt, dd, tr, td, th, table, h1, h2, h3, h4, h5, h6, section, article, header, footer, "
    "blockquote, pre, figure, figcaption, main, aside, hr, form, option"
)
# Beside its own errors pypdf raises what Python raises where a damaged file leads it astray.
_PDF_FAULTS = (ValueError, KeyError, TypeError, AttributeError, IndexError, OSError, RecursionError, ArithmeticError)


def _paragraphs(lines: Iterator[Line]) -> Iterator[str]:
    held: list[str] = []
    size = 0
    for line in lines:
        heading = _HEADING.match(line.text)
        if not line.text.strip() or heading or size > LONGEST_PARAGRAPH:
            if held:
                yield " ".join(held)
            held, size = [], 0
        if heading:
            yield heading.group(1)
        elif line.text.strip():
            held.append(line.text)
            size += len(line.text)
    if held:
        yield " ".join(held)


def _pages(reader: Any, pages: int, name: str, report: Report) -> Iterator[str]:
    from pypdf.errors import PyPdfError

    for number in range(pages):
        try:
            text: str = reader.pages[number].extract_text()
        except (PyPdfError, *_PDF_FAULTS) as error:
            report.problem(f"{name}: page {number + 1} cannot be read ({error}). Save the file again, or as text.")
            continue
        yield re.sub(r"(?<=[a-z])-\n(?=[a-z])", "", text)


def _whole(path: Path, name: str, report: Report) -> str | None:
    if _too_large(path, name, report):
        return None
    raw = path.read_bytes()
    if b"\0" in raw:
        line = raw[: raw.index(b"\0")].count(b"\n") + 1
        report.problem(f"{name}:{line}: a zero byte, so this is no text file. Take it out or give it its suffix.")
        return None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        report.problem(f"{name}:{line}: byte 0x{raw[error.start]:02x} is not UTF-8. Save the file as UTF-8.")
        return None


def _too_large(path: Path, name: str, report: Report) -> bool:
    size = path.stat().st_size
    if size > LARGEST:
        report.problem(f"{name}: {size:,} bytes; of such a file at most {LARGEST:,} are read. Break it up.")
    return size > LARGEST


def _stem(path: Path) -> str:
    return path.stem.replace("_", " ")

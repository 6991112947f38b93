"""Make the PDF files of `documents/` from the Markdown in `source/`, byte for byte the same every time.

    python examples/company-documents/make.py          # writes into documents/
    python examples/company-documents/make.py OUT      # writes into another folder

The other documents and all questions are written by hand and lie beside this script as they are. A PDF is plain text
in Helvetica on A4 pages, so that whoever reads the file gets the words back in their order.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

HERE = Path(__file__).parent
WIDTH, LINES = 88, 48
"""Letters in a line and lines on a page."""


def pdf(markdown: str) -> bytes:
    """The text of a PDF with one heading ("# Title", first line) and paragraphs between blank lines."""
    title, *paragraphs = (" ".join(block.split()) for block in markdown.strip().split("\n\n"))
    title = title.removeprefix("# ")
    lines = [title, ""]
    for paragraph in paragraphs:
        lines += [*textwrap.wrap(paragraph, WIDTH, break_on_hyphens=False), ""]
    pages = [lines[first : first + LINES] for first in range(0, len(lines), LINES)]
    first_page = 5
    kids = " ".join(f"{first_page + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Title " + _string(title) + b" >>",
    ]
    for number, page in enumerate(pages):
        objects += [
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> "
            + f"/Contents {first_page + 2 * number + 1} 0 R >>".encode(),
            _stream(page),
        ]
    return _file(objects)


def _stream(lines: list[str]) -> bytes:
    shown = b"\n".join(_string(line) + b" Tj T*" for line in lines)
    content = b"BT\n/F1 11 Tf\n15 TL\n64 780 Td\n" + shown + b"\nET"
    return f"<< /Length {len(content)} >>\nstream\n".encode() + content + b"\nendstream"


def _string(text: str) -> bytes:
    """A literal string in WinAnsi. Raises UnicodeEncodeError for letters that it lacks, such as Polish ones."""
    escaped = text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
    return b"(" + escaped.encode("cp1252") + b")"


def _file(objects: list[bytes]) -> bytes:
    body, places = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", list[int]()
    for number, content in enumerate(objects, start=1):
        places.append(len(body))
        body += f"{number} 0 obj\n".encode() + content + b"\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    return (
        body
        + (
            f"xref\n0 {size}\n0000000000 65535 f \n{table}"
            f"trailer\n<< /Size {size} /Root 1 0 R /Info 4 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
        ).encode()
    )


def make(out: Path) -> list[Path]:
    """Write every PDF below `out`; gives back their paths."""
    made: list[Path] = []
    for source in sorted((HERE / "source").rglob("*.md")):
        path = out / source.relative_to(HERE / "source").with_suffix(".pdf")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pdf(source.read_text(encoding="utf-8")))
        made.append(path)
    return made


if __name__ == "__main__":
    for path in make(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "documents"):
        print(path)

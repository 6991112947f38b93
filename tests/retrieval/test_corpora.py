"""Corpora of every kind as passages."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tutelage.errors import CorpusError
from tutelage.retrieval.corpus import Fields, Report, read_corpus
from tutelage.types import Passage

ROWS = [
    {"id": "a", "title": "Ants", "text": "Ants carry leaves."},
    {"id": "b", "title": "", "text": "Bees carry pollen."},
]
PASSAGES = [Passage("a", "Ants", "Ants carry leaves."), Passage("b", "", "Bees carry pollen.")]


def lines(rows: Iterable[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_json_lines_gzip_and_parquet_hold_the_same_passages(tmp_path: Path):
    """A corpus must not change with the file it is kept in."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "c.jsonl").write_text("\ufeff" + lines(ROWS) + "\n\n", encoding="utf-8")
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(lines(ROWS).replace("\n", "\r\n").encode()))
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "c.parquet")
    for name in ("c.jsonl", "c.jsonl.gz", "c.parquet"):
        assert list(read_corpus(tmp_path / name)) == PASSAGES


def test_a_hub_data_set_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """By the same names as a task's data: owner/name:config@split."""
    import datasets

    asked: list[tuple[Any, ...]] = []

    def load(name: str, config: str | None, split: str):
        asked.append((name, config, split))
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.chdir(tmp_path)
    assert list(read_corpus("owner/name:small@validation")) == PASSAGES
    assert asked == [("owner/name", "small", "validation")]


@pytest.mark.parametrize(
    ("row", "fields", "passage"),
    [
        ({"_id": 7, "title": "T", "text": "x y"}, Fields(), Passage("7", "T", "x y")),
        ({"id": "d1", "contents": "Title\nBody"}, Fields(), Passage("d1", "", "Title\nBody")),
        ({"pmid": "3", "name": "N", "abstract": "z"}, Fields("pmid", "name", "abstract"), Passage("3", "N", "z")),
        ({"id": "a", "title": None, "text": " x "}, Fields(), Passage("a", "", "x")),
    ],
)
def test_other_names_of_fields_are_read(tmp_path: Path, row: dict[str, Any], fields: Fields, passage: Passage):
    """BEIR and Pyserini name theirs differently, and a user's own file does too."""
    (tmp_path / "c.jsonl").write_text(lines([row]))
    assert list(read_corpus(tmp_path / "c.jsonl", fields=fields)) == [passage]


def test_a_row_without_an_id_gets_one_from_its_content(tmp_path: Path):
    """A number of the row would give each passage another id when a row is put before it."""
    (tmp_path / "a.jsonl").write_text(lines([{"text": "x"}, {"text": "y"}]))
    (tmp_path / "b.jsonl").write_text(lines([{"text": "new"}, {"text": "y"}]))
    [_, first] = read_corpus(tmp_path / "a.jsonl")
    [_, second] = read_corpus(tmp_path / "b.jsonl")
    assert first == second
    assert first.id.startswith("p-")


BAD: dict[str, tuple[str, str]] = {
    "broken JSON": ('{"id": "x", ', r"c.jsonl:2: not JSON"),
    "a list": ("[1]", r"c.jsonl:2: expected an object .* on each line, got list"),
    "no text": ('{"id": "x", "body": "?"}', r"c.jsonl:2: no field .*'text.* among 'id', 'body'.*--fields text="),
    "a number for text": ('{"id": "x", "text": 5}', r"c.jsonl:2: 'text' is int, expected a text"),
    "an empty text": ('{"id": "x", "text": " "}', r"c.jsonl:2: 'text' is empty"),
    "a list for id": ('{"id": [1], "text": "x"}', r"c.jsonl:2: the id is list"),
    "an empty id": ('{"id": " ", "text": "x"}', r"c.jsonl:2: the id ' ' is empty"),
    "half a pair": ('{"id": "x", "text": "\\ud800"}', r"c.jsonl:2: half of a surrogate pair"),
    "another text": ('{"id": "a", "text": "other"}', r"c.jsonl:2: id 'a' came before with another text"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_row_is_located_and_left_out_only_when_asked(tmp_path: Path, bad: str):
    """Line 8,412,077 of a corpus is not found by a traceback."""
    line, message = BAD[bad]
    path = tmp_path / "c.jsonl"
    path.write_text(lines(ROWS[:1]) + line + "\n" + lines(ROWS[1:]))
    with pytest.raises(CorpusError, match=f"(?s)1 problems, and nothing was indexed.*{message}.*--skip-bad"):
        list(read_corpus(path))
    report = Report()
    assert list(read_corpus(path, skip_bad=True, report=report)) == PASSAGES
    assert (report.passages, report.bad, len(report.problems)) == (2, 1, 1)


def test_all_problems_come_at_once(tmp_path: Path):
    """A person mends a file once, not once for each line."""
    path = tmp_path / "c.jsonl"
    path.write_text("\n".join(["{}", *[json.dumps(ROWS[0])] * 5, "5"]))
    with pytest.raises(CorpusError, match=r"(?s)2 problems.*c.jsonl:1: no field.*c.jsonl:7: expected an object"):
        list(read_corpus(path))
    path.write_text("{}\n" * 5000)
    with pytest.raises(CorpusError, match=r"(?s)at least .*c.jsonl:20: no field"):
        list(read_corpus(path))


def test_repeated_passages_are_left_out_and_counted(tmp_path: Path):
    """Ten copies of a passage would fill all ten places of a search."""
    copies = [*ROWS, ROWS[0], {**ROWS[1], "id": "c"}]
    (tmp_path / "c.jsonl").write_text(lines(copies))
    report = Report()
    assert list(read_corpus(tmp_path / "c.jsonl", report=report)) == PASSAGES
    assert (report.passages, report.repeated, report.bad) == (2, 2, 0)
    kept = list(read_corpus(tmp_path / "c.jsonl", keep_repeated=True))
    assert [p.id for p in kept] == ["a", "b", "c"]


def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path: Path):
    """Documents become passages that can be traced back to their file; rows stay what they are."""
    (tmp_path / "z").mkdir()
    (tmp_path / "z" / "notes.md").write_text("intro here\n\n# My *own* notes #\nLine one\ngoes on.\n\nSecond. Third.\n")
    (tmp_path / "b_tale.txt").write_text("Once upon a time. There was a cat.")
    (tmp_path / "a.jsonl").write_text(lines(ROWS))
    (tmp_path / ".hidden").write_bytes(b"\0")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config.txt").write_text("x")
    assert list(read_corpus(tmp_path, words=5)) == [
        *PASSAGES,
        Passage("b_tale.txt#0", "b tale", "Once upon a time."),
        Passage("b_tale.txt#1", "b tale", "There was a cat."),
        Passage("z/notes.md#0", "My *own* notes", "intro here My *own* notes"),
        Passage("z/notes.md#1", "My *own* notes", "Line one goes on. Second."),
        Passage("z/notes.md#2", "My *own* notes", "Third."),
    ]


def test_a_page_is_its_text(tmp_path: Path):
    """Scripts and menus would be found for every question, and words of two cells must not grow together."""
    (tmp_path / "page.html").write_text(
        "<html><head><title> Ants &amp; bees </title><style>p {}</style></head><body><nav>Home</nav>"
        "<h1>Ants</h1><p>Ants carry <b>lea</b>ves.<br>They dig.</p><script>var x;</script>"
        "<table><tr><td>six</td><td>legs</td></tr></table></body></html>",
        encoding="utf-8",
    )
    assert list(read_corpus(tmp_path)) == [
        Passage("page.html#0", "Ants & bees", "Ants Ants carry leaves. They dig. six legs")
    ]


def test_a_pdf_is_its_pages(tmp_path: Path):
    """Text of each page in order, words broken at a line's end whole again."""
    (tmp_path / "paper.pdf").write_bytes(pdf([["Owls hunt at", "night and for-", "ests."], ["They are quiet."]]))
    assert list(read_corpus(tmp_path / "paper.pdf")) == [
        Passage("paper.pdf#0", "paper", "Owls hunt at night and forests. They are quiet.")
    ]


def test_a_damaged_pdf_is_a_problem(tmp_path: Path):
    """Pypdf raises whatever Python raises on the way."""
    whole = pdf([["Owls hunt."]])
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4\n" + bytes(range(1, 200)))
    (tmp_path / "b.pdf").write_bytes(whole[: len(whole) // 3])
    report = Report()
    list(read_corpus(tmp_path, skip_bad=True, report=report))
    assert report.bad >= 1
    assert all(p.startswith(("a.pdf: ", "b.pdf: ")) for p in report.problems)


DAMAGED: dict[str, tuple[bytes, str]] = {
    "binary.txt": (b"ok so far\nPNG\x00\x01", r"binary.txt:2: a zero byte, so this is no text file"),
    "broken.txt": (b"fine\nnot \xff fine\n", r"broken.txt:2: byte 0xff is not UTF-8"),
    "broken.html": (b"<p>a\n\n\xe9</p>", r"broken.html:3: byte 0xe9 is not UTF-8"),
    "binary.html": (b"<p>a\n\x00</p>", r"binary.html:2: a zero byte"),
    "empty.md": (b"", r"empty.md: empty"),
    "photo.png": (b"\x89PNG", r"photo.png: unknown kind of file. Expected .jsonl, .*\.pdf"),
    "cut.jsonl.gz": (gzip.compress(lines(ROWS).encode())[:-9], r"cut.jsonl.gz:\d+: not a whole gzip file"),
    "no.jsonl.gz": (b"plain", r"no.jsonl.gz:1: not a whole gzip file"),
    "no.parquet": (b"plain", r"no.parquet: row 1: not Parquet"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_bad_file_in_a_folder_is_located_and_left_out_only_when_asked(tmp_path: Path, name: str):
    """One photograph among ten thousand notes must neither end a night's work nor pass unseen."""
    raw, message = DAMAGED[name]
    (tmp_path / name).write_bytes(raw)
    (tmp_path / "good.txt").write_text("Good text.")
    with pytest.raises(CorpusError, match=f"(?s)nothing was indexed.*{message}"):
        list(read_corpus(tmp_path))
    report = Report()
    assert Passage("good.txt#0", "good", "Good text.") in list(read_corpus(tmp_path, skip_bad=True, report=report))
    assert report.bad == 1


def test_a_line_of_200_megabytes_is_located_in_flat_memory(tmp_path: Path):
    """A machine that swaps over one broken line tells nobody which line it was."""
    import subprocess

    for name, open_, close in (("long.jsonl", b'{"id": "x", "text": "', b'"}\n'), ("long.txt", b"", b"\n")):
        with (tmp_path / name).open("wb") as file:
            file.write(lines(ROWS[:1]).encode() + open_)
            for _ in range(200):
                file.write(b"a b " * 2**18)
            file.write(close + (lines(ROWS[1:]).encode() if name == "long.jsonl" else b"The end."))
    script = (
        "import resource, sys; from tutelage.retrieval.corpus import Report, read_corpus; report = Report()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "found = list(read_corpus(sys.argv[1], skip_bad=True, report=report))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
        "print(*[p.id for p in found], *report.problems, sep='\\n')"
    )
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    grown, *told = run.stdout.splitlines()
    assert int(grown) < 80_000  # kilobytes
    assert told == [
        "a",
        "b",
        "long.txt#0",
        "long.jsonl:2: a line of 209,715,224 bytes; at most 16,777,216 are read. Break it up.",
        "long.txt:2: a line of 209,715,201 bytes; at most 16,777,216 are read. Break it up.",
    ]


@pytest.mark.parametrize("source", ["nowhere.jsonl", "/no/such/folder", "nowhere"])
def test_what_is_not_there_is_named(source: str):
    """And what would be read is said."""
    with pytest.raises(CorpusError, match=f"no file or folder '{source}'.*Expected .jsonl"):
        list(read_corpus(source))


@pytest.mark.parametrize(("words", "overlap"), [(0, 0), (10, 10), (10, -1)])
def test_words_and_overlap_must_let_a_passage_get_on(tmp_path: Path, words: int, overlap: int):
    """Told at once, not at the first document."""
    with pytest.raises(CorpusError, match=f"words {words}, overlap {overlap}"):
        read_corpus(tmp_path, words=words, overlap=overlap)


def pdf(pages: list[list[str]]) -> bytes:
    """A PDF with these lines on its pages, written by hand."""
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for i, page in enumerate(pages):
        text = "BT /F1 12 Tf 72 720 Td 14 TL " + " ".join(f"({line}) Tj T*" for line in page) + " ET"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /Resources << /Font << /F1 3 0 R >> >> "
            f"/MediaBox [0 0 612 792] /Contents {5 + 2 * i} 0 R >>"
        )
        objects.append(f"<< /Length {len(text)} >>\nstream\n{text}\nendstream")
    out, places = b"%PDF-1.4\n", list[int]()
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    return (
        out
        + (
            f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
            f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
        ).encode()
    )

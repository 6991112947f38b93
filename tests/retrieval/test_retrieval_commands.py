"""`tutelage index`, `search` and `search-eval`, as a person types them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tutelage.cli import app
from tutelage.errors import CorpusError

ROWS = [
    {"pmid": 1, "abstract": "Owls hunt mice at night."},
    {"pmid": 2, "abstract": "Mice eat grain."},
    {"pmid": 3, "abstract": "Grain grows in fields."},
]


def tutelage(*words: object) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_a_corpus_is_indexed_searched_and_scored(tmp_path: Path, corpus: Path):
    """The whole way of a knowledge base before a student sees it."""
    out = tmp_path / "index"
    made = json.loads(tutelage("index", corpus, "--out", out, "--fields", "id=pmid,text=abstract", "--json").stdout)
    assert (made["passages"], made["bad"], made["repeated"]) == (3, 0, 0)
    found = json.loads(tutelage("search", out, "who hunts mice?", "-k", 2, "--json").stdout)
    assert [(row["rank"], row["id"]) for row in found] == [(0, "1"), (1, "2")]
    assert found[0]["text"] == "Owls hunt mice at night."
    assert "Owls hunt mice" in tutelage("search", out, "owls").stdout
    (tmp_path / "q.tsv").write_text("a\tmice that eat grain\nb\tnight owls\nc\tnobody judged this\n")
    (tmp_path / "r.txt").write_text("a 0 2 1\nb 0 1 1\n")
    options = ("--queries", tmp_path / "q.tsv", "--qrels", tmp_path / "r.txt")
    score = json.loads(tutelage("search-eval", out, *options, "--json").stdout)
    assert (score["nDCG@10"], score["MAP"], score["Hits@1"], score["n"], score["unjudged"]) == (1, 1, 1, 2, 1)
    assert score["index"] == made["fingerprint"]
    shown = tutelage("search-eval", out, *options).stdout
    assert "nDCG@10   1.0000" in shown
    assert "2 judged queries; 1 without" in shown


def test_an_index_is_added_to(tmp_path: Path, corpus: Path):
    """A corpus grows; indexing all of it again takes hours."""
    out, fields = tmp_path / "index", ("--fields", "id=pmid,text=abstract")
    tutelage("index", corpus, "--out", out, *fields)
    corpus.write_text(json.dumps(ROWS[0]) + '\n{"pmid": 4, "abstract": "Foxes hunt too."}\n')
    added = json.loads(tutelage("index", corpus, "--out", out, *fields, "--add", "--json").stdout)
    assert [added[name] for name in ("passages", "added", "replaced", "unchanged")] == [4, 1, 0, 1]
    corpus.write_text('{"pmid": 4, "abstract": "Foxes sleep."}\n')
    with pytest.raises(CorpusError, match="id '4' is in the index with another text"):
        tutelage("index", corpus, "--out", out, *fields, "--add")
    replaced = json.loads(tutelage("index", corpus, "--out", out, *fields, "--add", "--replace", "--json").stdout)
    assert [replaced[name] for name in ("passages", "added", "replaced", "unchanged")] == [4, 0, 1, 0]


def test_bad_lines_end_the_indexing_or_are_told_of(tmp_path: Path, corpus: Path):
    """From the command line: the message alone and exit code 2, or the rest and what was left out."""
    corpus.write_text('{"id": "a", "text": "fine"}\n{"id": "b"}\n')
    out = tmp_path / "index"
    command = [sys.executable, "-m", "tutelage", "index", str(corpus), "--out", str(out)]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "CorpusError" in refused.stderr
    assert "corpus.jsonl:2: no field" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (out / "index.json").exists()
    rest = subprocess.run([*command, "--skip-bad"], capture_output=True, text=True, check=True)
    assert "bad        1" in rest.stdout
    assert "left out   corpus.jsonl:2: no field" in rest.stderr


def test_wrong_options_are_refused(tmp_path: Path, corpus: Path):
    """A misspelt field would otherwise be looked for in every row."""
    with pytest.raises(CorpusError, match="--fields 'pmid=id': expected id=NAME"):
        tutelage("index", corpus, "--out", tmp_path / "i", "--fields", "pmid=id")
    result = CliRunner().invoke(app, ["index", str(corpus), "--out", str(tmp_path / "i"), "--replace"])
    assert result.exit_code == 2


def test_nothing_found_is_said(tmp_path: Path, corpus: Path):
    """An empty answer looks like a program that did not work."""
    out = tmp_path / "index"
    tutelage("index", corpus, "--out", out, "--fields", "id=pmid,text=abstract")
    assert "nothing found" in tutelage("search", out, "zebra").stderr
    assert json.loads(tutelage("search", out, "zebra", "--json").stdout) == []


def test_help_loads_no_index():
    """`tutelage --help` answers in a blink."""
    code = "import sys; import tutelage.cli; print([m for m in ('tantivy', 'numpy', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

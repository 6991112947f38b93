"""What `ask` says of the passages it shows: which document they come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from small_study import jsonl, recipe, study_of, write_world

from tutelage.cli import ask as ask_command
from tutelage.methods import ask as asking
from tutelage.methods.knowledge import Knowledge
from tutelage.methods.looking_up import LookUp
from tutelage.retrieval.bm25 import Bm25
from tutelage.retrieval.corpus import read_corpus
from tutelage.retrieval.corpus.documents import READERS, document_of, passage_id
from tutelage.types import Passage, Question

HANDBOOK = {
    "leave.md": "# Leave\n\nInterns have twelve days of leave a year.",
    "offices/Bern #2.txt": "The Bern office opens at half past seven.",
    "offices/de/reise.html": "<title>Reisen</title><p>Jede Reise unterschreibt die Teamleitung.</p>",
}


@pytest.fixture
def handbook(tmp_path: Path) -> Path:
    for name, text in HANDBOOK.items():
        (tmp_path / "handbook" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "handbook" / name).write_text(text)
    return tmp_path / "handbook"


def look_up(tmp_path: Path, corpora: Sequence[str]) -> LookUp:
    """What a student of a study over these corpora looks up in."""
    write_world(tmp_path)
    study = study_of(recipe(tmp_path, ["kard-bm25"], knowledge={"corpus": list(corpora)}), tmp_path / "run")
    assert study.recipe.knowledge
    return opened(Knowledge(study, study.recipe.knowledge).index().folder)


def opened(index: Path) -> LookUp:
    how: dict[str, Any] = {"retriever": "bm25", "k1": 0.9, "b": 0.4, "query": "question", "passages": 1}
    return LookUp(index, {"index": str(index), **how})


def found(looking: LookUp, text: str) -> tuple[str, str | None]:
    """Id and document of the first passage."""
    passages = looking.passages(Question("q-1", "handbook", "test", text, (), ""))
    return passages[0].id, looking.documents(passages)[0]


def test_a_passage_names_its_document(tmp_path: Path, handbook: Path):
    """An answer is believed when its page can be opened: in a sub-folder, with a # in its name, in any format."""
    looking = look_up(tmp_path, [str(handbook)])
    for text, name in (
        ("How many days of leave have interns?", "leave.md"),
        ("When does the Bern office open?", "offices/Bern #2.txt"),
        ("Wer unterschreibt eine Reise?", "offices/de/reise.html"),
    ):
        assert found(looking, text) == (f"{name}#0", str(handbook / name))
        assert Path(str(found(looking, text)[1])).is_file()


def test_of_several_corpora_the_right_one_is_named(tmp_path: Path, handbook: Path):
    """The reader opens what is printed."""
    other = tmp_path / "other" / "pets.md"
    other.parent.mkdir()
    other.write_text("Dogs are allowed on Fridays.")
    rows = jsonl(tmp_path / "rows.jsonl.corpus.jsonl", [{"id": "leave.md-ish", "text": "Rows have no document."}])
    looking = look_up(tmp_path, [str(handbook), str(other), str(rows)])
    assert found(looking, "Are dogs allowed?") == ("pets.md#0", str(other))
    assert found(looking, "twelve days of leave")[1] == str(handbook / "leave.md")
    assert found(looking, "Have rows a document?") == ("leave.md-ish", None)
    other.unlink()  # without the file nobody can tell which corpus had it
    assert found(looking, "Are dogs allowed?")[1] == "pets.md"


def test_an_index_from_outside_names_the_path_within_its_corpus(tmp_path: Path, handbook: Path):
    """Also one that an earlier version made, and with a file called corpus.json beside it."""
    (tmp_path / "corpus.json").write_text("[]")
    index = tmp_path / "index"
    Bm25.build(read_corpus(handbook), index)
    assert found(opened(index), "When does the Bern office open?")[1] == "offices/Bern #2.txt"


@pytest.mark.parametrize("suffix", READERS)
def test_ids_lead_back_to_documents(suffix: str):
    """Whatever can be read can be cited."""
    for name in (f"a{suffix}", f"a b/c#7{suffix}", f"ü/A{suffix.upper()}"):
        assert document_of(passage_id(name, 12)) == name


@pytest.mark.parametrize("id", ["p-00017", "a#1", "x.md", "x.md#", "x.md#a", "x.md#²", "x.jsonl#3", "#1", ""])
def test_ids_of_rows_name_no_document(id: str):
    """A row's own id may hold anything."""
    assert document_of(id) is None


def test_the_command_line_shows_path_and_id(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Path to open, id to search the report for."""
    shown = (Passage("leave.md#0", "Leave", "Interns have twelve days."), Passage("p-1", "", "A row."))
    reply = asking.Reply("It says twelve.", "12", shown, ("handbook/leave.md", None))
    monkeypatch.setattr(asking, "ask", lambda *_, **__: reply)
    ask_command(Path("student"), "How many?", None, False)
    assert capsys.readouterr().out.splitlines() == [
        "It says twelve.",
        "answer    12",
        "passage   handbook/leave.md  [leave.md#0]",
        "          Leave. Interns have twelve days.",
        "passage   [p-1]",
        "          A row.",
    ]

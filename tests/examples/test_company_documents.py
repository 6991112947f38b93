"""The example that people copy: its documents, questions and recipe hold together, and its PDFs can be made again."""

from __future__ import annotations

import csv
import importlib.util
import re
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from tutelage import recipe
from tutelage.formats import FORMATS
from tutelage.methods.check import plans, problems
from tutelage.methods.sources import annotate, load_task
from tutelage.rationales.keep import keep
from tutelage.retrieval.bm25 import Bm25
from tutelage.retrieval.corpus import Report, read_corpus
from tutelage.retrieval.corpus.documents import READERS
from tutelage.tasks.answers import WORDS
from tutelage.tasks.grading import graded
from tutelage.types import Passage

ROOT = Path(__file__).parents[2]
HERE = ROOT / "examples" / "company-documents"
FILES = {"train": 90, "test": 100, "other-languages": 20, "two-documents": 15, "unanswerable": 15}
FOREIGN = "sites/"


def rows(name: str) -> list[dict[str, str]]:
    with (HERE / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def documents_of(row: dict[str, str]) -> list[str]:
    return [path.strip() for path in row["document"].split(";") if path.strip()]


@pytest.fixture(scope="module")
def passages() -> dict[str, list[Passage]]:
    """What the product reads out of the folder, by document."""
    found: dict[str, list[Passage]] = {}
    for passage in read_corpus(HERE / "documents"):
        found.setdefault(passage.id.rpartition("#")[0], []).append(passage)
    return found


def texts(document: str) -> str:
    """A document's text as its reader gives it, white space as one space, before it is cut into passages."""
    path = HERE / "documents" / document
    report = Report()
    read = READERS[path.suffix](path, document, report)
    text = " ".join(" ".join(read.paragraphs).split())
    assert not report.problems
    return text


# --- documents


def test_there_are_forty_documents_of_four_kinds_in_folders(passages: dict[str, list[Passage]]):
    kinds = Counter(Path(name).suffix for name in passages)
    assert kinds == {".md": 16, ".txt": 10, ".html": 8, ".pdf": 6}
    assert all("/" in name for name in passages)
    assert sum(name.startswith(FOREIGN) for name in passages) == 6


def test_documents_are_short_and_no_passage_is_empty(passages: dict[str, list[Passage]]):
    for name in passages:
        words, letters = len(texts(name).split()), len(texts(name))
        assert 80 <= words <= 400 or 400 <= letters <= 1600, name  # Japanese has no spaces
    assert all(p.text.strip() and p.title.strip() for found in passages.values() for p in found)


def made() -> ModuleType:
    spec = importlib.util.spec_from_file_location("company_documents_make", HERE / "make.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pdfs_are_made_again_byte_for_byte(tmp_path: Path):
    """A PDF that its source does not give is one that nobody can correct."""
    paths = made().make(tmp_path)
    shipped = sorted((HERE / "documents").rglob("*.pdf"))
    assert [path.relative_to(tmp_path) for path in paths] == [path.relative_to(HERE / "documents") for path in shipped]
    for path, original in zip(paths, shipped, strict=True):
        assert path.read_bytes() == original.read_bytes(), path


def test_a_pdf_reads_back_as_its_source():
    """Brackets, backslashes, umlauts and sums of money must survive the file format; so must a second page."""
    for source in sorted((HERE / "source").rglob("*.md")):
        document = source.relative_to(HERE / "source").with_suffix(".pdf").as_posix()
        assert texts(document) == " ".join(source.read_text(encoding="utf-8").removeprefix("# ").split())


def test_a_pdf_of_several_pages_and_odd_characters_reads_back(tmp_path: Path):
    paragraph = r"Costs (net): £3 or 4 € for a \"Größe 36–48\" à la carte; see C:\temp\new (page 2)."
    path = tmp_path / "long.pdf"
    path.write_bytes(made().pdf("# Head (1)\n\n" + "\n\n".join([paragraph] * 60)))
    from pypdf import PdfReader

    reader = PdfReader(path)
    assert len(reader.pages) > 1
    assert reader.metadata
    assert reader.metadata.title == "Head (1)"
    report = Report()
    document = READERS[".pdf"](path, "long.pdf", report)
    assert " ".join(" ".join(document.paragraphs).split()) == " ".join(["Head (1)", *[paragraph] * 60])


# --- questions


def test_each_file_has_as_many_questions_as_it_says_and_none_twice():
    found = {name: [row["question"] for row in rows(name)] for name in FILES}
    assert {name: len(asked) for name, asked in found.items()} == FILES
    asked = [" ".join(re.findall(r"\w+", q.casefold())) for questions in found.values() for q in questions]
    assert len(asked) == len(set(asked))


def test_train_and_test_cover_the_english_documents_and_share_no_fact(passages: dict[str, list[Passage]]):
    """A fact that was learnt by heart would be scored as one that was read."""
    facts = {name: {(row["document"], WORDS.canonical(row["answer"])) for row in rows(name)} for name in FILES}
    english = {name for name in passages if not name.startswith(FOREIGN)}
    for name in ("train", "test"):
        assert len(facts[name]) == FILES[name]
        assert {document for document, _ in facts[name]} == english
    assert not facts["train"] & facts["test"]
    assert {document for document, _ in facts["other-languages"]} == passages.keys() - english


@pytest.mark.parametrize("name", ["train", "test", "other-languages"])
def test_an_answer_stands_in_its_document_in_these_words(name: str, passages: dict[str, list[Passage]]):
    """The words of the document are the gold answer: another wording is graded wrong. One passage must hold it."""
    for row in rows(name):
        assert documents_of(row) == [row["document"]], row
        assert row["answer"] in texts(row["document"]), row
        assert any(row["answer"] in passage.text for passage in passages[row["document"]]), row
        assert 1 <= len(row["answer"].split()) <= 4, row


def test_an_answer_from_two_documents_stands_in_one_of_the_two_that_are_named():
    for row in rows("two-documents"):
        named = documents_of(row)
        assert len(set(named)) == 2, row
        assert any(row["answer"] in texts(document) for document in named), row


def test_a_question_without_an_answer_names_no_document():
    assert {(row["answer"], row["document"]) for row in rows("unanswerable")} == {("not stated", "")}


def test_a_rationale_gives_the_fact_and_concludes_the_answer_once():
    """It is the target that a student learns to write; the format's own mark within would be read as the answer's."""
    for row in rows("train"):
        reason, said, rest = row["rationale"].partition(" So the answer is ")
        assert said, row
        assert rest == f"{row['answer']}.", row
        assert row["answer"] in reason, row
        assert 6 <= len(reason.split()) <= 45, row
        assert not any(form.marker in row["rationale"] for form in FORMATS.values()), row


def test_questions_do_not_repeat_a_sentence_of_the_document():
    """Five words in a row that stand in the document make a search of what should be a question."""
    copied = 0
    for row in rows("test"):
        words, text = re.findall(r"\w+", row["question"].casefold()), texts(row["document"]).casefold()
        plain = " ".join(re.findall(r"\w+", text))
        copied += any(" ".join(words[at : at + 5]) in plain for at in range(len(words) - 4))
    assert copied <= 5


# --- the product on them


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> recipe.Recipe:
    monkeypatch.chdir(ROOT)
    return recipe.load("examples/company-documents/recipe.yaml", ["student.model=pocket/causal-nano"])[0]


def test_the_recipe_passes_its_check_and_trains_three_students_a_seed_for_five_rows(
    study: recipe.Recipe, tmp_path: Path
):
    assert problems(study) == []
    assert [arm.method for arm in study.arms] == [
        "fine-tuning", "reasoning-distillation", "kard-bm25", "kard", "kard-oracle",
    ]  # fmt: skip
    stages = [stage for planned in plans(study, tmp_path).values() for stage in planned.values()]
    students = {stage.fingerprint for stage in stages if stage.name == "student"}
    assert len(students) == 3 * len(study.seeds)


def test_every_rationale_is_kept(study: recipe.Recipe):
    """One that is read as another answer is dropped without a word in the table."""
    task = load_task(study.task)
    assert [len(task.questions[split]) for split in ("train", "dev", "test")] == [81, 9, 100]
    known = {q.id: q for split in ("train", "dev") for q in task.questions[split]}
    assert study.teacher
    taught = annotate(study.teacher, study.task, list(known.values()))
    kept = keep([graded(r, known[r.question_id], WORDS) for r in taught.rationales])
    assert kept.counts == {"kept": 90}


@pytest.mark.parametrize("name", ["other-languages", "two-documents", "unanswerable"])
def test_the_files_without_a_target_can_be_a_test_as_well(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    path = f"task.test=examples/company-documents/{name}.csv"
    other, _ = recipe.load("examples/company-documents/recipe.yaml", ["student.model=pocket/causal-nano", path])
    assert problems(other) == []
    assert len(load_task(other.task).questions["test"]) == FILES[name]


def test_bm25_finds_the_document_for_as_many_questions_as_the_readme_says(tmp_path: Path):
    """The share of questions whose document is found bounds what a student can answer."""
    index = Bm25.build(read_corpus(HERE / "documents"), tmp_path / "index")
    asked = rows("test")
    ranks: list[int] = []
    for row, hits in zip(asked, index.search([row["question"] for row in asked], 5), strict=True):
        names = [hit.passage_id.rpartition("#")[0] for hit in hits]
        ranks.append(names.index(row["document"]) if row["document"] in names else 99)
    assert [sum(rank < k for rank in ranks) for k in (1, 2, 5)] == [92, 94, 97]

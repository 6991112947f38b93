"""Documents that a user's questions name: read, checked against the corpus, counted, and shown by the oracle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_study import jsonl, recipe, study_of, write_world

from tutelage.errors import TaskError
from tutelage.methods import Study
from tutelage.methods.check import problems
from tutelage.methods.finding import figures, right_passages, searches
from tutelage.methods.gold_documents import gold_documents, missing_documents, passages_of_documents
from tutelage.methods.knowledge import read_hits, silver_counts
from tutelage.recipe import Recipe
from tutelage.tasks import load_task

DOCUMENTS = {
    "hr/leave.md": "# Leave\n\nStaff have 27 days of leave. " + "Requests are entered in Stile by everyone. " * 20,
    "hr/leave of others.txt": "Contractors have 3 days of leave in a year.",
    "it/vpn.html": "<title>VPN</title><p>The client is called Causeway.</p>",
    "it/vpn.md": "# VPN abroad\n\nIn Osaka the client is called Viaduct.",
}


def write_documents(folder: Path) -> Path:
    for name, text in DOCUMENTS.items():
        path = folder / "documents" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / "documents"


def asking(folder: Path, test: list[dict[str, Any]], train: list[dict[str, Any]] | None = None, **knowledge: Any):
    """A study of questions about the documents; every training question has a rationale."""
    corpus = write_documents(folder)
    train = train or [
        {"question": f"What is the client called at site {n}?", "answer": "Causeway", "document": "it/vpn.html"}
        for n in range(6)
    ]
    told = [{**row, "why": f"The client is called so. So the answer is {row['answer']}."} for row in train]
    return recipe(
        write_world(folder),
        ["kard-bm25", "kard-oracle"],
        task={
            "train": str(jsonl(folder / "mine.jsonl", told)),
            "test": str(jsonl(folder / "asked.jsonl", test)),
            "fields": {"rationale": "why", "document": "document"},
        },
        knowledge={"corpus": str(corpus), "words": 30, "reranker": None, **knowledge},
    )


LEAVE = {"question": "How much leave do staff have?", "answer": "27 days", "document": "hr/leave.md"}
VPN = {"question": "What is the client called?", "answer": "Causeway", "document": "it/vpn.html"}
BOTH = {"question": "How long?", "answer": "3 days", "document": " hr/leave of others.txt ; hr/leave.md"}
LIST = {"question": "Who?", "answer": "Viaduct", "document": ["it/vpn.md"]}
NONE = {"question": "What does it cost?", "answer": "not stated", "document": ""}
NULL = {"question": "Where is it?", "answer": "not stated", "document": None}


def by_text(study: Study) -> dict[str, Any]:
    return {q.text: q for q in study.of("test")}


# --- reading


def test_a_row_names_one_document_several_or_none(tmp_path: Path):
    found = by_text(study_of(asking(tmp_path, [LEAVE, BOTH, LIST, NONE, NULL]), tmp_path / "run"))
    assert gold_documents(found[LEAVE["question"]]) == ("hr/leave.md",)
    assert gold_documents(found[BOTH["question"]]) == ("hr/leave of others.txt", "hr/leave.md")
    assert gold_documents(found[LIST["question"]]) == ("it/vpn.md",)
    assert gold_documents(found[NONE["question"]]) == gold_documents(found[NULL["question"]]) == ()
    assert "gold_documents" not in found[NONE["question"]].meta


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"document": 7}, "'document' is 7; expected a path within the corpus, or a list of them"),
        ({"document": ["a.md", 7]}, "'document' is ['a.md', 7]; expected a path"),
        ({"documents": "a.md"}, "no field 'document'; did you mean 'documents'?"),
    ],
)
def test_a_document_that_is_no_path_is_told_with_its_place(tmp_path: Path, row: dict[str, Any], told: str):
    path = jsonl(tmp_path / "q.jsonl", [{"question": f"{n}?", "answer": "a", "document": ""} for n in range(9)] + [
        {"question": "Q?", "answer": "a", **row}
    ])  # fmt: skip
    with pytest.raises(TaskError) as failure:
        load_task("own", train=path, answers="words", fields={"document": "document"})
    assert "q.jsonl:10: " in str(failure.value)
    assert told in str(failure.value)


def test_the_column_changes_no_question_that_does_not_use_it(tmp_path: Path):
    """Fingerprints of studies without documents must stay, or a finished run would train again."""
    path = jsonl(tmp_path / "q.jsonl", [{"question": f"{n}?", "answer": "a", "document": "x"} for n in range(20)])
    for question in load_task("own", train=path, answers="words").questions["train"]:
        assert question.meta.keys() == {"source_text", "where"}


# --- checking


def test_a_document_that_is_not_in_the_corpus_is_told_with_the_nearest_one_and_once(tmp_path: Path):
    """A misspelt path would count every search as a failure."""
    wrong = [{**LEAVE, "document": "hr/leaves.md"}, {**VPN, "document": "it/vpn.html; hr/leaves.md"}]
    (told,) = problems(asking(tmp_path, [*wrong, {**BOTH, "document": "hr/leave.md"}]))
    assert told == (
        "task.fields.document: asked.jsonl:1: no document 'hr/leaves.md' in the corpus; did you mean 'hr/leave.md'?"
    )


def test_a_path_that_resembles_nothing_is_told_too(tmp_path: Path):
    (told,) = problems(asking(tmp_path, [{**LEAVE, "document": "Q"}, VPN]))
    assert told.endswith("no document 'Q' in the corpus. Name it by its path within the corpus.")


def test_documents_that_are_all_there_pass(tmp_path: Path):
    assert problems(asking(tmp_path, [LEAVE, BOTH, LIST, NONE])) == []


def test_rows_of_a_data_file_are_not_looked_for_before_they_are_read(tmp_path: Path):
    rows = jsonl(tmp_path / "rows-of-it.jsonl", [{"id": "r1", "text": "Staff have 27 days."}])
    wanted = asking(tmp_path, [{**LEAVE, "document": "r1"}, {**VPN, "document": "r9"}], corpus=str(rows))
    assert [p for p in problems(wanted) if "document" in p] == []
    study = study_of(wanted, tmp_path / "run")
    assert passages_of_documents(study.knowledge.settings, wanted.task, study.of("test")) == {
        by_text(study)[LEAVE["question"]].id: {"r1"}
    }


def test_of_a_finished_index_nothing_is_known(tmp_path: Path):
    study = study_of(asking(tmp_path, [LEAVE, VPN]), tmp_path / "run")
    folder = study.knowledge.index().folder
    settings = study.knowledge.settings.model_copy(update={"corpus": None, "index": str(folder)})
    assert missing_documents(settings, study.of("test")) == []
    assert passages_of_documents(settings, study.recipe.task, study.of("test")) == {}


# --- Hits@k


def test_every_passage_of_a_named_document_is_right_and_none_of_a_namesake(tmp_path: Path):
    """it/vpn.md is not it/vpn.html; a document without a name in a question's row is not right for it."""
    study = study_of(asking(tmp_path, [LEAVE, VPN, BOTH, NONE]), tmp_path / "run")
    right, asked = right_passages(study.knowledge, study.of("test")), by_text(study)
    leave = right[asked[LEAVE["question"]].id]
    assert len(leave) > 1
    assert {id.rpartition("#")[0] for id in leave} == {"hr/leave.md"}
    assert right[asked[VPN["question"]].id] == {"it/vpn.html#0"}
    assert right[asked[BOTH["question"]].id] == leave | {"hr/leave of others.txt#0"}
    assert asked[NONE["question"]].id not in right


def test_hits_at_k_are_those_of_a_plain_loop_over_the_names(tmp_path: Path):
    study = study_of(asking(tmp_path, [LEAVE, VPN, BOTH, LIST, NONE]), tmp_path / "run")
    stage, questions = study.knowledge.asked(), study.of("test")
    (row,) = figures(searches([stage], {"test": questions}), right_passages(study.knowledge, questions))
    named = [q for q in questions if gold_documents(q)]
    assert row["n"] == len(named) == 4
    for k in (1, 3):
        count = sum(
            any(hit.passage_id.rpartition("#")[0] in gold_documents(q) for hit in read_hits(stage)[q.id][:k])
            for q in named
        )
        assert row["hits"][str(k)]["value"] == pytest.approx(count / 4, abs=1e-9)


# --- the oracle


def oracle(wanted: Recipe, folder: Path) -> tuple[Study, Any]:
    study = study_of(wanted, folder)
    return study, study.knowledge.silver("test")


def test_the_oracle_shows_passages_of_the_document_the_one_with_the_answer_first(tmp_path: Path):
    """Recorded rationales cover training alone; without the document it knows nothing of one's own."""
    study, stage = oracle(asking(tmp_path, [LEAVE, VPN, NONE]), tmp_path / "run")
    hits, asked = read_hits(stage), by_text(study)
    leave = [hit.passage_id for hit in hits[asked[LEAVE["question"]].id]]
    assert leave[0] == "hr/leave.md#0"
    assert {id.rpartition("#")[0] for id in leave} == {"hr/leave.md"}
    assert [hit.passage_id for hit in hits[asked[VPN["question"]].id]] == ["it/vpn.html#0"]
    by_question = read_hits(study.knowledge.asked())[asked[NONE["question"]].id]
    assert [h.passage_id for h in hits[asked[NONE["question"]].id]] == [h.passage_id for h in by_question][:10]
    assert silver_counts(stage) == {"found": 2, "by_question": 1}


def test_a_rationale_for_a_test_question_is_preferred_to_its_document(tmp_path: Path):
    """KARD's oracle searches with it; the document stands in where there is none."""
    wanted = asking(tmp_path, [LEAVE, VPN])
    told = jsonl(tmp_path / "told.jsonl", [
        {"question": LEAVE["question"], "rationale": "In Osaka it is called Viaduct. So the answer is 27 days."},
        {"question": "What is the client called at site 1?", "rationale": "So it is. So the answer is Causeway."},
    ])  # fmt: skip
    assert wanted.teacher
    wanted = wanted.model_copy(update={"teacher": wanted.teacher.model_copy(update={"path": str(told)})})
    study, stage = oracle(wanted, tmp_path / "run")
    first = {text: read_hits(stage)[q.id][0].passage_id for text, q in by_text(study).items()}
    assert first == {LEAVE["question"]: "it/vpn.md#0", VPN["question"]: "it/vpn.html#0"}


def test_the_oracle_of_dev_does_not_look_at_documents(tmp_path: Path):
    """Dev chooses epochs; what it is shown must be what rationales find, as in training."""
    study = study_of(asking(tmp_path, [LEAVE]), tmp_path / "run")
    stage = study.knowledge.silver("dev")
    assert silver_counts(stage) == {"found": len(study.of("dev")), "by_question": 0}

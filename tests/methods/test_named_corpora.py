"""The corpora a recipe can name, and what makes two of them the same."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from small_study import jsonl

from tutelage.errors import RecipeError, TaskError
from tutelage.methods.corpora import BUILT_IN, Corpus, open_corpus, together
from tutelage.recipe import KnowledgeSection, TaskSection
from tutelage.retrieval.bm25 import Bm25
from tutelage.types import Passage

TASK = TaskSection(name="pocket/atlas")
SETTINGS = KnowledgeSection(corpus="any")
ROWS = [
    {"id": "a", "title": "Fork", "text": "A fork has prongs."},
    {"id": "b", "title": "", "text": "Spoons hold soup."},
]


def opened(name: object, settings: KnowledgeSection = SETTINGS, task: TaskSection = TASK) -> Corpus:
    return open_corpus(str(name), settings, task)


def test_rows_of_a_users_file_are_passages_as_they_stand(tmp_path: Path):
    """Ids are what a report cites; a passage under another id cannot be found again."""
    found = opened(jsonl(tmp_path / "mine.jsonl", ROWS)).passages()
    assert list(found) == [Passage("a", "Fork", "A fork has prongs."), Passage("b", "", "Spoons hold soup.")]


def test_a_changed_file_is_another_corpus_and_a_touched_one_is_not(tmp_path: Path):
    """An index of yesterday's text answers from yesterday; one that is made anew for a new date wastes an hour."""
    path = jsonl(tmp_path / "mine.jsonl", ROWS)
    before = opened(path).content
    os.utime(path, (1, 1))
    assert opened(path).content == before
    jsonl(path, [ROWS[0], {**ROWS[1], "text": "Spoons hold soap."}])  # as long as before
    os.utime(path, (1, 1))
    assert opened(path).content == before, "same size and date: the same file, as far as anyone can see"
    os.utime(path, (2, 2))
    assert opened(path).content != before


def test_a_folder_changes_with_any_file_in_it_and_not_by_being_moved(tmp_path: Path):
    """Adding a document must reach the student."""
    for name in ("first", "second"):
        (tmp_path / name / "docs").mkdir(parents=True)
        (tmp_path / name / "docs" / "a.md").write_text("# Fork\n\nA fork has prongs.")
    assert opened(tmp_path / "first" / "docs").content == opened(tmp_path / "second" / "docs").content
    (tmp_path / "second" / "docs" / "b.txt").write_text("Spoons hold soup.")
    assert opened(tmp_path / "first" / "docs").content != opened(tmp_path / "second" / "docs").content


def test_what_is_not_read_of_a_folder_does_not_change_it(tmp_path: Path):
    """A file manager's or git's hidden files change whenever somebody looks, and an index took a day."""
    (tmp_path / "a.md").write_text("A fork has prongs.")
    before = opened(tmp_path).content
    (tmp_path / ".git").mkdir()
    for name in (".DS_Store", ".git/HEAD.md"):
        (tmp_path / name).write_text("anything")
    assert opened(tmp_path).content == before


def test_how_documents_are_cut_is_part_of_the_corpus(tmp_path: Path):
    """Passages of 50 words in the index of those of 100 would be two experiments in one."""
    path = tmp_path / "long.txt"
    path.write_text("One fork has four prongs. " * 20)
    short, overlapping = KnowledgeSection(corpus="x", words=10), KnowledgeSection(corpus="x", words=10, overlap=5)
    contents = [json.dumps(opened(path, settings).content) for settings in (SETTINGS, short, overlapping)]
    assert len(set(contents)) == 3
    assert max(len(p.text.split()) for p in opened(path, short).passages()) <= 10


def test_a_bundled_corpus_answers_for_its_content():
    """Whoever edits the atlas must not be answered from an index of the old one."""
    corpus = opened("pocket/atlas")
    passages = list(corpus.passages())
    assert len({p.id for p in passages}) == len(passages) == 3200
    assert isinstance(corpus.content, str)
    assert len(corpus.content) == 64


def test_several_corpora_are_one_after_another(tmp_path: Path):
    """Facts and a private handbook may both be needed."""
    first, second = jsonl(tmp_path / "1.jsonl", ROWS[:1]), jsonl(tmp_path / "2.jsonl", ROWS[1:])
    index = Bm25.build(together([opened(first), opened(second)]), tmp_path / "index")
    assert [p.id for p in index.passages(["b", "a"])] == ["b", "a"]


@pytest.mark.parametrize(
    "name", ["", "./nowhere.jsonl", "/nowhere", "nowhere", "~/nowhere", "pocket/atls", "mine.jsonl"]
)
def test_a_corpus_that_is_nowhere_is_told_with_what_there_is(name: str):
    """Taken for a hub data set, a misspelt name ends in a network error after everything else was prepared."""
    with pytest.raises(RecipeError, match="no built-in corpus") as told:
        opened(name)
    assert all(known in str(told.value) for known in BUILT_IN)


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(RecipeError, match="did you mean 'pocket/atlas'"):
        opened("pocket/atls")


@pytest.mark.parametrize("name", ["owner/name", "owner/name:config@train", "owner/name:v1.0@test"])
def test_owner_and_name_are_a_hub_data_set_that_nobody_fetches_to_plan(name: str):
    """A check has no network."""
    assert opened(name).content == {"hub": name, "words": 100}


def test_data_that_is_not_there_is_told_and_not_searched_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TUTELAGE_DATA", raising=False)
    for name in ("openbookqa/facts", "strategyqa/facts", "strategyqa/sentences", "wikipedia-sample"):
        with pytest.raises(TaskError):
            opened(name, task=TaskSection(name="obqa", data=str(tmp_path)))


def test_facts_are_read_without_their_quotes_and_once_each(tmp_path: Path):
    """Numbers of passages must not depend on a fact standing twice in the file."""
    (tmp_path / "openbook.txt").write_text('"a bee is an animal"\n\n"stars are far"\n"a bee is an animal"\n')
    found = list(opened("openbookqa/facts", task=TaskSection(name="obqa", data=str(tmp_path))).passages())
    assert [p.text for p in found] == ["a bee is an animal", "stars are far"]
    assert len({p.id for p in found}) == 2


def test_strategy_facts_and_sentences_come_with_what_they_are_about(tmp_path: Path):
    """The title is searched as well: "Its harbour is deep" alone is about nothing."""
    rows = [
        {"term": "Genghis", "facts": ["He died.", "He rode."], "golden_sentence": [["He rode far. "], [" "]]},
        {"term": None, "facts": ["He rode.", "Forks are new."], "golden_sentence": [["Forks."]]},
    ]
    (tmp_path / "train.json").write_text(json.dumps(rows[:1]))
    (tmp_path / "dev.json").write_text(json.dumps(rows[1:]))
    (tmp_path / "train_gold_sentences.json").write_text(json.dumps(rows[:1]))
    (tmp_path / "dev_gold_sentences.json").write_text(json.dumps(rows[1:]))
    task = TaskSection(name="strategyqa", data=str(tmp_path))
    facts, sentences = (list(opened(f"strategyqa/{kind}", task=task).passages()) for kind in ("facts", "sentences"))
    assert [(p.title, p.text) for p in facts] == [
        ("Genghis", "He died."),
        ("Genghis", "He rode."),
        ("", "Forks are new."),
    ]
    assert [(p.title, p.text) for p in sentences] == [("Genghis", "He rode far."), ("", "Forks.")]


@pytest.mark.data
@pytest.mark.parametrize(("name", "count"), [("openbookqa/facts", 1326), ("wikipedia-sample", 44592)])
def test_published_corpora_have_as_many_passages_as_their_authors_say(name: str, count: int):
    data = os.environ.get("TUTELAGE_DATA")
    if not data:
        pytest.skip("TUTELAGE_DATA is not set")
    ids = {p.id for p in opened(name, task=TaskSection(name="obqa", data=data)).passages()}
    assert len(ids) == count

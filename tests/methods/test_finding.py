"""How well passages were found: shares against a plain loop, and which passages count as right."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest
from small_study import jsonl, recipe, study_of, write_world

from tutelage.methods.finding import (
    CUTOFFS,
    Found,
    figures,
    first_right,
    right_passages,
    searches,
    silver_passages,
)
from tutelage.recipe import parse
from tutelage.runs import Stage, write_json, write_jsonl
from tutelage.types import Hit, Question, Split


def hits(*ids: str) -> list[Hit]:
    return [Hit(id, 9.0 - rank, rank) for rank, id in enumerate(ids)]


def asked(*ids: str, split: Split = "test") -> list[Question]:
    return [Question(id, "t", split, f"{id}?", (), "a") for id in ids]


def stage(folder: Path, name: str, rows: dict[str, list[str]], silver: tuple[int, int] | None = None) -> Stage:
    """A finished search."""
    place = folder / f"{name}-{len(list(folder.iterdir()))}"
    listed = [[[id, 9.0 - rank] for rank, id in enumerate(ids)] for ids in rows.values()]
    write_jsonl(place / "hits.jsonl", [{"of": of, "hits": row} for of, row in zip(rows, listed, strict=True)])
    if silver:
        write_json(place / "silver.json", {"found": silver[0], "by_question": silver[1]})
    return Stage(name, "f", place, cached=True)


# --- the figures


def test_the_first_right_passage_counts_from_0_and_may_be_missing():
    assert first_right(hits("a", "b", "c"), frozenset("bc")) == 1
    assert first_right(hits("a", "b"), frozenset("z")) is None
    assert first_right([], frozenset("a")) is None


@pytest.mark.parametrize("seed", range(5))
def test_shares_are_those_of_a_plain_loop(seed: int):
    """A table of searches is read to the tenth of a per cent."""
    chance = random.Random(seed)
    ids = [f"q{n}" for n in range(60)]
    right = {id: frozenset(chance.sample("abcdefghijklmnop", 2)) for id in ids}
    found = {by: {id: hits(*chance.sample("abcdefghijklmnop", 12)) for id in ids} for by in ("question", "reranker")}
    rows = figures([Found(by, "test", mine) for by, mine in found.items()], right)
    assert [row["by"] for row in rows] == ["question", "reranker"]
    for row in rows:
        for k in CUTOFFS:
            count = 0
            for id in ids:
                for hit in found[row["by"]][id][:k]:
                    if hit.passage_id in right[id]:
                        count += 1
                        break
            low, high = binomtest(count, 60).proportion_ci(method="wilson")
            assert row["hits"][str(k)] == pytest.approx({"value": count / 60, "low": low, "high": high}, abs=1e-9)


def test_only_questions_that_all_searches_have_are_compared():
    """The teacher wrote for the easy half: its search would win by what it was not asked."""
    right = {"q1": frozenset("a"), "q2": frozenset("b"), "q3": frozenset("c")}
    by_question = Found("question", "dev", {"q1": hits("a"), "q2": hits("x"), "q3": hits("c"), "q4": hits("d")})
    by_rationale = Found("rationale", "dev", {"q1": hits("a"), "q2": hits("b")})
    rows = figures([by_question, by_rationale], right)
    assert [(row["by"], row["n"], row["hits"]["1"]["value"]) for row in rows] == [
        ("question", 2, 0.5),
        ("rationale", 2, 1),
    ]
    (alone,) = figures([by_question], right)
    assert (alone["n"], alone["hits"]["1"]["value"]) == (3, pytest.approx(2 / 3))


def test_splits_are_told_apart_and_one_without_a_judge_is_left_out():
    right = {"d": frozenset("a")}
    rows = figures([Found("question", "dev", {"d": hits("a")}), Found("question", "test", {"t": hits("a")})], right)
    assert [(row["split"], row["n"]) for row in rows] == [("dev", 1)]
    assert figures([], right) == []
    assert figures([Found("question", "dev", {"d": hits("a")})], {}) == []


# --- which searches speak


def test_a_search_with_rationales_speaks_by_the_first_of_each_question(tmp_path: Path):
    """The fifth rationale of an easy question would count as much as the only one of a hard one."""
    found = stage(tmp_path, "beside", {"q1#t#0": ["a"], "q1#t#1": ["b"], "q2#t#0": ["c"]})
    (row,) = searches([found], {"dev": asked("q1", "q2", "q3", split="dev")})
    assert {id: [hit.passage_id for hit in mine] for id, mine in row.hits.items()} == {"q1": ["a"], "q2": ["c"]}
    assert (row.by, row.split) == ("rationale", "dev")


def test_of_two_searches_of_a_kind_the_first_speaks(tmp_path: Path):
    first, second = (stage(tmp_path, "beside", {"q1#t#0": [id]}) for id in "ab")
    (row,) = searches([first, second], {"dev": asked("q1")})
    assert row.hits["q1"][0].passage_id == "a"


def test_an_oracle_speaks_for_test_alone(tmp_path: Path):
    """On dev it is what rationales found, which has a row of its own."""
    found = stage(tmp_path, "silver", {"d": ["a"], "t": ["b"]}, silver=(2, 0))
    rows = searches([found], {"dev": asked("d", split="dev"), "test": asked("t")})
    assert [(row.by, row.split) for row in rows] == [("oracle", "test")]


# --- which passages are right


def test_the_best_of_the_first_rationale_is_right_where_data_says_nothing(tmp_path: Path):
    """KARD's own measure (Figure 4c); of an oracle only what was found by words that know the answer."""
    beside = stage(tmp_path, "beside", {"q1#t#0": ["a", "b"], "q1#t#1": ["c"], "q2#t#0": []})
    silver = stage(tmp_path, "silver", {"q1": ["z"], "q3": ["d", "e"], "q4": ["f"]}, silver=(2, 1))
    assert silver_passages([stage(tmp_path, "asked", {"q9": ["x"]}), beside, silver]) == {
        "q1": frozenset("a"),
        "q3": frozenset("d"),
    }


def atlas(corpus: Any, folder: Path) -> Any:
    raw = {
        "task": {"name": "pocket/atlas", "limit": 20},
        "teacher": {"backend": "pocket"},
        "knowledge": corpus,
        "student": {"model": "pocket/nano"},
        "arms": ["kard-bm25"],
    }
    return study_of(parse(raw, where="test"), folder)


def test_an_atlas_question_is_answered_by_the_passage_it_was_made_from(tmp_path: Path):
    study = atlas({"corpus": "pocket/atlas"}, tmp_path)
    questions = study.of("test")
    right = right_passages(study.knowledge, questions)
    assert right.keys() == {q.id for q in questions}
    (passage,) = study.knowledge.open(study.knowledge.index().folder).passages(sorted(right[questions[0].id]))
    assert questions[0].answer in passage.text


def test_in_another_book_the_right_passage_is_not_one_of_that_name(tmp_path: Path):
    """No search could find it, and every one of them would be said to find nothing."""
    book = jsonl(tmp_path / "book.jsonl", [{"id": "mine", "title": "", "text": "Mount Baleth is high."}])
    study = atlas({"corpus": str(book)}, tmp_path / "run")
    assert right_passages(study.knowledge, study.of("test")) == {}


def test_facts_of_openbookqa_are_found_in_its_book_by_their_words(tmp_path: Path):
    """Case, spaces and full stops differ between its two files."""
    (tmp_path / "openbook.txt").write_text('"Stars are  far."\n"a bee is an animal"\n"nobody asks this"\n')
    rows = [
        {"id": "7-1", "fact1": "stars are far"},
        {"id": "7-2", "fact1": "A bee is an animal."},
        {"id": "7-3", "fact1": "a fact that is in no book"},
    ]
    jsonl(tmp_path / "test_complete.jsonl", rows)
    wanted = recipe(
        write_world(tmp_path), ["kard-bm25"],
        task={"name": "obqa", "data": str(tmp_path), "train": None, "test": None, "fields": None, "answers": None},
        knowledge={"corpus": "openbookqa/facts"},
    )  # fmt: skip
    study = study_of_nothing(wanted, tmp_path / "run")
    questions = [Question(f"q{n}", "obqa", "test", f"{n}?", (), "A", {"source_id": f"7-{n}"}) for n in (1, 2, 3)]
    assert right_passages(study.knowledge, questions) == {"q1": {"fact-0000"}, "q2": {"fact-0001"}}


def study_of_nothing(wanted: Any, folder: Path) -> Any:
    """A study whose task was never loaded: only its settings are looked at."""
    from tutelage.methods import Study
    from tutelage.runs import Workspace
    from tutelage.tasks.answers import LETTER
    from tutelage.tasks.task import Task

    return Study(wanted, Task("obqa", LETTER, {"train": (), "dev": (), "test": ()}, ()), Workspace(folder))


def test_a_users_own_questions_say_nothing_of_passages(tmp_path: Path):
    study = study_of(recipe(write_world(tmp_path)), tmp_path / "run")
    assert right_passages(study.knowledge, study.of("test")) == {}

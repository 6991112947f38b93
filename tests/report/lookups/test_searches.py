"""How often the right passage was found, told and drawn."""

from __future__ import annotations

import pytest
from looked_up import RETRIEVAL, searched

from tutelage.report.lookups.searches import counted, hits_plot, read_searches, sentences


def test_the_finding_names_both_searches_with_their_intervals():
    """A reranker is judged beside what it replaces, on the same questions."""
    tables = read_searches({"retrieval": RETRIEVAL})
    assert [table.split for table in tables] == ["test", "dev"]
    assert [search.by for search in tables[0].found] == ["question", "reranker", "oracle"]
    assert sentences(tables) == [
        "The reranker puts a right passage first for 84.0% of 400 test questions [80.1, 87.3], BM25 by the question "
        "for 19.0% [15.5, 23.1]."
    ]


def test_without_a_reranker_the_question_speaks_alone():
    """Nothing may be claimed for a part that the recipe has not."""
    found = sentences(read_searches({"retrieval": [RETRIEVAL[1]]}))
    assert found == ["BM25 by the question puts a right passage first for 19.0% of 400 test questions [15.5, 23.1]."]
    assert sentences([]) == []


def test_a_search_that_knows_the_answer_says_so():
    """95% of an oracle is no finding about a retriever."""
    (test, _) = read_searches({"retrieval": RETRIEVAL})
    titles = [test.title(search) for search in test.found]
    assert titles == ["BM25 by the question", "Reranker", "BM25 by words that know the answer (leaks)"]


def test_what_counts_as_right_is_told():
    """What a rationale finds best is a weaker truth than what the data says."""
    told, guessed = read_searches(
        {"retrieval": [RETRIEVAL[2], searched("reranker", "test", 7, 0.5, 0.6, 0.7, 0.8, right="rationale")]}
    )
    assert "where the data says" in counted(told)
    assert counted(guessed).startswith("7 test questions")
    assert "the one that the teacher’s rationale finds best" in counted(guessed)
    assert "the passage that the rationale finds first for 50.0%" in sentences([guessed])[0]


def test_arms_that_search_alike_share_a_table_and_others_are_named():
    """A sweep of ten numbers of passages is one search; two corpora are two."""
    rows = [{**RETRIEVAL[2], "arms": [name]} for name in ("KARD passages=1", "KARD passages=2")]
    (one,) = read_searches({"retrieval": rows})
    assert one.arms == ("KARD passages=1", "KARD passages=2")
    other = searched("reranker", "test", 400, 0.2, 0.3, 0.4, 0.5, arms=["KARD b"])
    found = sentences(read_searches({"retrieval": [*rows, other]}))
    assert found[0].startswith("KARD passages=1 and KARD passages=2: the reranker puts")
    assert found[1].startswith("KARD b: the reranker puts")


def test_the_plot_stands_where_the_figures_are():
    """A line drawn at the wrong height is a wrong figure; 19% of a hundred stands 81% from the top."""
    plot = hits_plot(read_searches({"retrieval": RETRIEVAL})[0])
    assert [tick.label for tick in plot.x_ticks] == ["1", "3", "5", "10"]
    assert [tick.label for tick in plot.y_ticks] == ["0%", "25%", "50%", "75%", "100%"]
    question = plot.paths[0].marks[0]
    assert question.y == pytest.approx(81)
    assert question.high == pytest.approx(100 - 23.13, abs=0.01)
    assert question.low == pytest.approx(100 - 15.46, abs=0.01)
    assert plot.paths[1].marks[0].x > question.x, "marks of one k stand beside each other"
    assert plot.looks == ["by-question", "by-reranker", "by-oracle"]


def test_a_run_of_before_there_was_retrieval_has_no_tables():
    """Old runs have reports as well."""
    assert read_searches({}) == read_searches({"retrieval": None}) == []

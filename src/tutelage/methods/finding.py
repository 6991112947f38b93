"""How well passages were found: the share of questions for which the right one is among the first k.

Right is what the data says: the passages a pocket question was made from, those of the document that the user's own
question names, or those that state the facts its annotators wrote down. Where the data says nothing, right is the best
that a rationale finds (KARD, Figure 4c).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tutelage.errors import IndexFolderError
from tutelage.evaluation.metrics import accuracy_interval
from tutelage.methods.corpora import open_corpus
from tutelage.methods.gold_documents import passages_of_documents
from tutelage.methods.knowledge import Knowledge, open_index, read_hits, silver_counts
from tutelage.runs import Stage, read_json
from tutelage.tasks.evidence import evidence_of
from tutelage.types import Hit, Question, Split

CUTOFFS = (1, 3, 5, 10)
BY = {"asked": "question", "reranked": "reranker", "beside": "rationale", "silver": "oracle"}
"""What a stage searches with, by the name of the stage."""
MENTORED = "mentored"
"""A reranker that learnt from a mentor besides the teacher."""
ALONE = ("question", "reranker", MENTORED)
"""Searches that need no rationale, as a student does at test."""


class Found(NamedTuple):
    """The hits of one search for the questions of one split."""

    by: str
    split: Split
    hits: Mapping[str, Sequence[Hit]]


def figures(found: Iterable[Found], right: Mapping[str, frozenset[str]]) -> list[dict[str, Any]]:
    """For each search the share of questions with a right passage among its first k, with n and 95% intervals.

    Of two searches over one split only questions that both have count, so that rows can be compared. The rerankers of
    several seeds are one search: their mean, with an interval that allows for the chance in training them.
    """
    searches = list(found)
    rows: list[dict[str, Any]] = []
    for split in ("dev", "test"):
        mine = [search for search in searches if search.split == split]
        shared = set(right).intersection(*(search.hits for search in mine)) if mine else set[str]()
        for by in dict.fromkeys(search.by for search in mine) if shared else []:
            ranks = [
                [first_right(search.hits[id], right[id]) for search in mine if search.by == by] for id in sorted(shared)
            ]
            rows.append({"by": by, "split": split, "n": len(ranks), "hits": _hits(ranks)})
    return rows


def first_right(hits: Sequence[Hit], right: frozenset[str]) -> int | None:
    """The rank of the first right passage, 0 the best; None where none was found."""
    return next((rank for rank, hit in enumerate(hits) if hit.passage_id in right), None)


def _hits(ranks: Sequence[Sequence[int | None]]) -> dict[str, dict[str, float]]:
    """From the ranks of each question, one for each reranker."""
    found = {k: np.array([[float(rank is not None and rank < k) for rank in row] for row in ranks]) for k in CUTOFFS}
    intervals = {k: accuracy_interval(right_QR) for k, right_QR in found.items()}
    return {
        str(k): {"value": float(found[k].mean()), "low": intervals[k].low, "high": intervals[k].high} for k in CUTOFFS
    }


def right_passages(knowledge: Knowledge, questions: Sequence[Question]) -> dict[str, frozenset[str]]:
    """The passages that answer each question, as far as its data says so."""
    named = passages_of_documents(knowledge.settings, knowledge.study.recipe.task, questions)
    told = _told(knowledge, questions) | named
    task = knowledge.study.recipe.task
    facts = evidence_of(task.name, task.data, questions) if task.train is None and not told else {}
    if not facts:
        return told
    wanted = {_key(fact) for texts in facts.values() for fact in texts}
    ids: dict[str, set[str]] = {}
    for name in knowledge.settings.corpora:
        for passage in open_corpus(name, knowledge.settings, task).passages():
            if (key := _key(passage.text)) in wanted:
                ids.setdefault(key, set()).add(passage.id)
    stated = {id: frozenset(i for text in texts for i in ids.get(_key(text), ())) for id, texts in facts.items()}
    return {id: found for id, found in stated.items() if found}


def _told(knowledge: Knowledge, questions: Sequence[Question]) -> dict[str, frozenset[str]]:
    """What the questions themselves name, if it is there: they may be asked of another book."""
    told = {q.id: frozenset(q.meta["gold_passages"].split()) for q in questions if "gold_passages" in q.meta}
    try:
        open_index(knowledge.settings, knowledge.index().folder).passages(sorted(frozenset().union(*told.values())))
    except IndexFolderError:
        return {}
    return told


def silver_passages(stages: Iterable[Stage]) -> dict[str, frozenset[str]]:
    """For each question the passage that its first rationale finds best: right, where the data does not say what is."""
    best: dict[str, frozenset[str]] = {}
    for stage in stages:
        if stage.name in ("beside", "silver"):
            rows = list(read_hits(stage).items())
            known = silver_counts(stage)["found"] if stage.name == "silver" else len(rows)  # others have no rationale
            for of, hits in rows[:known]:
                best.setdefault(of.split("#")[0], frozenset(hit.passage_id for hit in hits[:1]))
    return {id: found for id, found in best.items() if found}


def searches(
    stages: Iterable[Stage], questions: Mapping[Split, Sequence[Question]], mentored: Collection[str] = ()
) -> list[Found]:
    """The hits of these stages for the questions of each split.

    Where a stage searched with rationales, those of the first one kept for a question. Only one stage of a kind speaks
    for a split: the first, since the others searched for more rationales of the same questions; but every reranker
    does. What an oracle found speaks for test alone; elsewhere it is what rationales found, and has a row of its own.
    `mentored` are the fingerprints of rerankers that learnt from a mentor too.
    """
    found: dict[tuple[str, Split, str], Found] = {}
    for stage in stages:
        hits: dict[str, Sequence[Hit]] = {}
        by = MENTORED if _orders_by(stage) in mentored else BY[stage.name]
        for of, row in read_hits(stage).items():
            hits.setdefault(of.split("#")[0], row)
        for split, asked in questions.items():
            mine = {q.id: hits[q.id] for q in asked if q.id in hits}
            if mine and (stage.name != "silver" or split == "test"):
                found.setdefault((by, split, _orders_by(stage)), Found(by, split, mine))
    return list(found.values())


def _orders_by(stage: Stage) -> str:
    """The fingerprint of the reranker that ordered what was found; empty where none did."""
    return read_json(stage.folder / "stage.json")["inputs"]["reranker"] if stage.name == "reranked" else ""


def _key(text: str) -> str:
    return " ".join(text.lower().split()).rstrip(".")

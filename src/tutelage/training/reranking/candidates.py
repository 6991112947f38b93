"""What a reranker learns from: for a question, candidate passages with the scores that the teacher's rationale gives.

A rationale names what the question leaves unsaid, so the passages it finds are the ones worth finding. Candidates come
from both searches, and the rationale scores them all (KARD, section 3.2):

    Ranking(query_id="q-1#0", query="Do woolly mammoths outlive forks?",
            passage_ids=("mammoth_3", "fork_1", "steppe_7"), scores=(31.2, 18.0, 4.4))
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:  # the search itself is not needed to learn from its results
    from tutelage.retrieval.retriever import Retriever
    from tutelage.types import Hit


class Pair(NamedTuple):
    """A question and one rationale for it."""

    query_id: str
    """Unique among the pairs."""
    question: str
    rationale: str


@dataclass(frozen=True, slots=True)
class Ranking:
    """A question's candidates and what the rationale thinks of each."""

    query_id: str
    query: str
    """What the reranker reads: the question alone."""
    passage_ids: tuple[str, ...]
    """Each passage once, best first."""
    scores: tuple[float, ...]
    """Score of each for the rationale, all on one scale."""


Search: TypeAlias = Callable[[Sequence[str], int], list[list["Hit"]]]
"""For each query its best k passages."""


def search_space(
    retriever: Retriever, pairs: Iterable[Pair], *, candidates: int = 32, search: Search | None = None
) -> list[Ranking]:
    """A ranking for each pair: the `candidates` best passages of the rationale and those of the question.

    `search` is called in place of the retriever's own, so that a long search may keep what it has found.

    A passage that both found counts once, and one formula scores all. The published code (retriever_dataset.py:95-120)
    mixes two formulas and keeps duplicates. A pair with fewer than two candidates teaches nothing and is left out.
    """
    pairs, search = list(pairs), search or retriever.search
    questions = list(dict.fromkeys(pair.question for pair in pairs))
    by_question = dict(zip(questions, search(questions, candidates), strict=True))
    by_rationale = search([pair.rationale for pair in pairs], candidates)
    rankings: list[Ranking] = []
    for pair, found in zip(pairs, by_rationale, strict=True):
        ids = list(dict.fromkeys(hit.passage_id for hit in [*found, *by_question[pair.question]]))
        if len(ids) > 1:
            rankings.append(ranking(pair.query_id, pair.question, ids, retriever.score(pair.rationale, ids)))
    return rankings


def question_order(retriever: Retriever, rankings: Sequence[Ranking]) -> list[Ranking]:
    """The same candidates scored by the question alone: what a reranker has to beat."""
    return [ranking(r.query_id, r.query, r.passage_ids, retriever.score(r.query, r.passage_ids)) for r in rankings]


def ranking(query_id: str, query: str, ids: Sequence[str], scores: Sequence[float]) -> Ranking:
    """A ranking with its passages in order, best first; equal scores by id. Of an id that comes twice the first."""
    scored = dict(reversed(list(zip(ids, scores, strict=True))))
    ordered = sorted(scored.items(), key=lambda item: (-item[1], item[0]))
    return Ranking(query_id, query, tuple(i for i, _ in ordered), tuple(float(score) for _, score in ordered))


def draw(whole: Ranking, count: int, *, seed: int, epoch: int) -> Ranking:
    """A part of a ranking for one epoch: half from its better half, half from its other half.

    With equally many candidates of both searches the better half is close to what the rationale found and the other
    to what only the question found, so this is the published k/2 + k/2 without its duplicates. Same seed and epoch,
    same part.
    """
    n = len(whole.passage_ids)
    if n <= count:
        return whole
    chance = random.Random(f"{seed} {epoch} {whole.query_id}")
    middle = (n + 1) // 2
    low = min(count // 2, n - middle)
    kept = sorted([*chance.sample(range(middle), count - low), *chance.sample(range(middle, n), low)])
    return Ranking(
        whole.query_id, whole.query, tuple(whole.passage_ids[i] for i in kept), tuple(whole.scores[i] for i in kept)
    )

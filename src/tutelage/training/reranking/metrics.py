"""How well a reranker finds the passage that the rationale likes best, over all candidates of held-out questions.

The published evaluation takes the first row of its list for the best passage (main.py:185-187), which duplicates and
two scales of scores make wrong, and draws new candidates each time. Here the best passage is the one with the largest
score, and the candidates are all there are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import log_softmax

from tutelage.training.reranking.candidates import Ranking

CUTS = (1, 3, 5, 10)
"""Depths of Hits@k, as in KARD, Fig. 4c."""


def measure(
    rankings: Sequence[Ranking],
    scores: Sequence[Sequence[float]],
    *,
    teacher_temperature: float = 1.0,
    model_temperature: float = 1.0,
) -> dict[str, float]:
    """Means over rankings of hits@1, @3, @5 and @10, ndcg@10 and kl. `scores` are in the order of `passage_ids`."""
    rows: list[dict[str, float]] = []
    for ranking, given in zip(rankings, scores, strict=True):
        row = {f"hits@{k}": float(best_rank(ranking, given) < k) for k in CUTS}
        row["ndcg@10"] = ndcg(ranking, given, 10)
        row["kl"] = divergence(ranking.scores, given, teacher_temperature, model_temperature)
        rows.append(row)
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]} if rows else {}


def best_rank(ranking: Ranking, scores: Sequence[float]) -> int:
    """Where the best passage comes when candidates are ordered by `scores`, 0 for the first; of equally good ones the
    first to come.
    """
    top = max(ranking.scores)
    return next(place for place, i in enumerate(_order(ranking, scores)) if ranking.scores[i] == top)


def ndcg(ranking: Ranking, scores: Sequence[float], k: int) -> float:
    """Normalised discounted gain of the first `k`, a passage's gain being its score for the rationale; in [0, 1].

    Gains are not exponential: BM25 scores reach a hundred. Where all gains are 0 every order is as good: 1.
    """
    gains = [max(score, 0.0) for score in ranking.scores]
    ideal = _discounted(sorted(gains, reverse=True)[:k])
    return _discounted([gains[i] for i in _order(ranking, scores)[:k]]) / ideal if ideal else 1.0


def divergence(teacher: Sequence[float], scores: Sequence[float], tau: float, model_tau: float) -> float:
    """KL(teacher || reranker) over all candidates, at these temperatures."""
    log_p, log_q = log_softmax(np.array(teacher) / tau), log_softmax(np.array(scores) / model_tau)
    return float((np.exp(log_p) * (log_p - log_q)).sum())


def _order(ranking: Ranking, scores: Sequence[float]) -> list[int]:
    """Candidates from the largest score to the smallest; equal ones by id."""
    return sorted(range(len(scores)), key=lambda i: (-scores[i], ranking.passage_ids[i]))


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(place + 2) for place, gain in enumerate(gains))

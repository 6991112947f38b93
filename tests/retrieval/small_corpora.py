"""Made corpora whose words are spread as in natural text, and BM25 over them as a plain loop."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence

from tutelage.retrieval.bm25.analysis import terms
from tutelage.types import Hit, Passage

WORDS = [f"w{number}" for number in range(2000)]
WEIGHTS = [1 / (rank + 3) for rank in range(len(WORDS))]


def zipf_passages(n: int, seed: int = 0) -> list[Passage]:
    """Passages of 10 to 120 words, their titles of two."""
    chance = random.Random(seed)
    return [Passage(f"p{i:05d}", text(chance, 2), text(chance, chance.randint(10, 120))) for i in range(n)]


def text(chance: random.Random, words: int) -> str:
    """So many words, the frequent ones more often."""
    return " ".join(chance.choices(WORDS, WEIGHTS, k=words))


def queries(n: int, words: int, seed: int = 1) -> list[str]:
    """Texts to search for."""
    chance = random.Random(seed)
    return [text(chance, words) for _ in range(n)]


def plain_scores(passages: Sequence[Passage], query: str, *, k1: float = 0.9, b: float = 0.4) -> dict[str, float]:
    """BM25 of every passage, written down as in a textbook."""
    tokens = {p.id: terms(f"{p.title} {p.text}") for p in passages}
    mean = sum(map(len, tokens.values())) / len(tokens)
    frequency = {term: sum(term in words for words in tokens.values()) for term in set(terms(query))}
    scores: dict[str, float] = {}
    for id, words in tokens.items():
        scores[id] = 0.0
        for term, times in Counter(terms(query)).items():
            if term in words:
                idf = math.log(1 + (len(tokens) - frequency[term] + 0.5) / (frequency[term] + 0.5))
                tf = words.count(term)
                scores[id] += times * idf * tf / (tf + k1 * (1 - b + b * len(words) / mean))
    return scores


def best(scores: Mapping[str, float], k: int) -> list[str]:
    """The ids of the k best, equal ones by id, none with nothing."""
    return [i for i in sorted(scores, key=lambda i: (-scores[i], i)) if scores[i] > 0][:k]


def ids(hits: Sequence[Hit]) -> list[str]:
    """What was found, in order."""
    return [hit.passage_id for hit in hits]

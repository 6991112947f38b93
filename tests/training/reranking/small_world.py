"""A world in which question and passage share no telling word, so that whoever finds the passage has learnt to."""

from __future__ import annotations

import random

from tutelage.training.reranking import Ranking
from tutelage.training.reranking.candidates import ranking
from tutelage.types import Passage

TOPICS = {"red": "stone", "blue": "river", "green": "tree", "old": "house", "new": "road", "big": "city"}
NAMES = ["Tova", "Miro", "Anna", "Peter", "Lena", "Omar", "Ruth", "Hugo", "Ida", "Karl", "Nina", "Otto"]


def passages() -> dict[str, Passage]:
    """Two passages of each topic, one longer than the other."""
    found: dict[str, Passage] = {}
    for thing in TOPICS.values():
        found[f"{thing}-1"] = Passage(f"{thing}-1", "", f"here is the {thing}")
        found[f"{thing}-2"] = Passage(f"{thing}-2", thing, f"and then, after a long day, one more {thing} is there")
    return found


def rankings(names: list[str], *, seed: int = 0) -> list[Ranking]:
    """A question of each name about each topic: the topic's passages score 12 and 9, all others about 1."""
    chance = random.Random(seed)
    made: list[Ranking] = []
    for name in names:
        for word, thing in TOPICS.items():
            ids = list(passages())
            best = {f"{thing}-1": 12.0, f"{thing}-2": 9.0}
            scores = [best.get(i, 1 + chance.random()) for i in ids]
            made.append(ranking(f"{name}-{word}", f"{name} asks: {word}?", ids, scores))
    return made

"""The task `pocket/steps`: small stories that need several dependent sums and no knowledge.

    Tormin has 12 beads. She finds 5 more. Tormin gives away 3. Then she buys 6. How many beads has Tormin now?   20

Stories are drawn, not stored. Which split a story belongs to follows from its numbers, so no two splits share a story,
whatever seed and sizes they were drawn with, not even under another name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from tutelage.pocket.words import names
from tutelage.types import Question, Split, question_id

TASK = "pocket/steps"
ANSWER_TYPE = "number"
THINGS = ("apples", "beads", "books", "buttons", "cakes", "cards", "coins", "eggs", "keys", "nuts", "plums", "shells")
OPENINGS = ("{name} has {n} {things}.", "At first {name} has {n} {things}.", "{name} holds {n} {things}.")
GAINS = ("finds {n} more", "buys {n}", "gets {n} more", "picks up {n}", "collects {n} more")
LOSSES = ("gives away {n}", "loses {n}", "sells {n} of them", "drops {n}", "uses {n}")
ASKED = ("How many {things} has {name} now?", "How many {things} does {name} have at the end?")
SHARES: tuple[Split, ...] = ("dev", "test", "test", "train", "train", "train", "train", "train", "train", "train")
"""The split of a story by the last digit of its fingerprint."""


class Story(NamedTuple):
    """Someone's things: how many at the start, and each gain (positive) and loss (negative) after that."""

    start: int
    changes: tuple[int, ...]

    @property
    def total(self) -> int:
        """How many are left."""
        return self.start + sum(self.changes)

    @property
    def split(self) -> Split:
        """The split this story belongs to."""
        return SHARES[int(hashlib.sha256(repr((self.start, self.changes)).encode()).hexdigest(), 16) % len(SHARES)]


def questions(
    split: Split,
    *,
    seed: int = 0,
    train: int = 1200,
    dev: int = 200,
    test: int = 400,
    steps: tuple[int, int] = (3, 5),
    largest: int = 9,
    others: int = 0,
) -> list[Question]:
    """The questions of one split, as many as `train`, `dev` or `test` says.

    `steps` is the range of gains and losses in a story, `largest` the most that one of them moves. `others` people with
    things of their own stand between; nothing is asked about them. Totals stay within 0 and 99.
    """
    rng = Random(f"{seed} {split} {steps} {largest} {others}")
    wanted = {"train": train, "dev": dev, "test": test}[split]
    drawn = _draw(split, rng, steps, largest, others)
    found: dict[str, Question] = {}
    while len(found) < wanted:
        question = next(drawn)
        found.setdefault(question.id, question)
    return list(found.values())


def _draw(split: Split, rng: Random, steps: tuple[int, int], largest: int, others: int) -> Iterator[Question]:
    while True:
        story = draw_story(rng, steps, largest)
        if story.split == split:
            yield _question(story, split, rng, [draw_story(rng, steps, largest) for _ in range(others)])


def draw_story(rng: Random, steps: tuple[int, int], largest: int) -> Story:
    """A story whose running total never leaves 0 to 99."""
    start = total = rng.randint(2, 40)
    changes: list[int] = []
    for _ in range(rng.randint(*steps)):
        change = rng.randint(1, largest)
        change = -change if total >= change and (rng.random() < 0.5 or total + change > 99) else change
        changes.append(change)
        total += change
    return Story(start, tuple(changes))


def _question(story: Story, split: Split, rng: Random, others: list[Story]) -> Question:
    """The story as a text; what the teacher has to know of it stands in `meta`."""
    name, *strangers = rng.sample(names("steps"), k=1 + len(others))
    things, pronoun = rng.choice(THINGS), rng.choice(("she", "he"))
    told = [_tell(name, things, pronoun if not others else name, story, rng)]
    told += [_tell(stranger, things, stranger, other, rng) for stranger, other in zip(strangers, others, strict=True)]
    text = " ".join([*_riffle(told, rng), rng.choice(ASKED).format(name=name, things=things)])
    meta = {
        "name": name,
        "things": things,
        "start": str(story.start),
        "changes": " ".join(f"{change:+d}" for change in story.changes),
    }
    return Question(question_id(TASK, text), TASK, split, text, (), str(story.total), meta)


def _tell(name: str, things: str, pronoun: str, story: Story, rng: Random) -> list[str]:
    """One sentence for the start and each change."""
    sentences = [rng.choice(OPENINGS).format(name=name, n=story.start, things=things)]
    for change in story.changes:
        who = rng.choice((pronoun, name))
        did = rng.choice(GAINS if change > 0 else LOSSES).format(n=abs(change))
        sentence = f"Then {who} {did}." if rng.random() < 0.3 else f"{who[0].upper()}{who[1:]} {did}."
        sentences.append(sentence)
    return sentences


def _riffle(told: list[list[str]], rng: Random) -> list[str]:
    """Several people's sentences as one story, each person's own in their order."""
    turns = [who for who, sentences in enumerate(told) for _ in sentences]
    rng.shuffle(turns)
    ahead = [iter(sentences) for sentences in told]
    return [next(ahead[who]) for who in turns]

"""The tasks `pocket/atlas`, `-pairs` and `-memory`: invented places that nobody knows without their corpus.

    How high is Mount Orrick?                                                                                84
    Which is higher, Mount Orrick or Mount Tasmin?   (A) Mount Orrick (B) Mount Tasmin                        A
    What is the height of Mount Orrick?                                        84, where `-memory` taught the first

    p-00017  Mount Orrick   In the far north Mount Orrick stands 84 spans tall, and snow stays on its long side until
                            the summer.

Each place has an entry for each of its traits, one that says nothing of use, and one about a namesake with a value of
its own. A question seldom shares the words of the entry it needs ("higher" and "stands ... tall"), a rationale does:
this is what a reranker has to learn. Places belong to one split each, so learning them by heart is of no use; but for
`-memory`, which asks for what it taught in other words.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random
from typing import NamedTuple

from tutelage.pocket.words import names
from tutelage.types import Passage, Question, Split, question_id

TASK = "pocket/atlas"
PAIRS = "pocket/atlas-pairs"
MEMORY = "pocket/atlas-memory"
LETTERS = "AB"
PLACES = 640
"""How many places the atlas describes."""
SHARES: tuple[tuple[Split, float], ...] = (("train", 0.6), ("dev", 0.1), ("test", 0.3))


@dataclass(frozen=True, slots=True)
class Trait:
    """One thing that the atlas says of a kind of place."""

    kind: str
    namesake: str
    """What a namesake of the place is, whose value misleads."""
    fact: str
    """How an entry, and a rationale, states the value; `{place}` and `{value}` are its places."""
    ask: str
    """The question about the value of one place, in words that the entry does not use."""
    ask_again: str
    """The same question in other words, which the entry does not use either."""
    less: str = ""
    """What the place with the lesser value is called; empty for a trait whose value is a name."""
    more: str = ""
    hint: str = ""
    """Words by which a comparison may say what it is about."""


COMPARE = ("Which is {asked}, {a} or {b}?", "As to {hint}, which is {asked}, {a} or {b}?")
"""The second shares a word with the entries it needs, the first does not."""
TRAITS: dict[str, Trait] = {
    "height": Trait(
        "Mount", "gate", "{place} stands {value} spans tall", "How high is {place}?", "What is the height of {place}?",
        "lower", "higher", "spans",
    ),
    "summit": Trait(
        "Mount", "road", "{place} had no one on top until the year {value}", "When was {place} reached first?",
        "When did the first person come to {place}?", "earlier", "later", "the top",
    ),
    "spring": Trait(
        "Mount", "well", "{place} is where the {value} river begins", "Which water rises on {place}?",
        "What comes down from {place}?",
    ),
    "ice": Trait(
        "Lake", "mine", "{place} keeps its ice for {value} days", "How long is {place} cold?",
        "How much winter does {place} have?", "warmer", "colder", "ice",
    ),
    "length": Trait(
        "Lake", "street", "{place} takes {value} miles to cross", "How wide is {place}?",
        "What is the width of {place}?", "shorter", "longer", "miles",
    ),
    "outflow": Trait(
        "Lake", "mill", "{place} turns into the {value} river", "Which water leaves {place}?",
        "What flows out of {place}?",
    ),
    "founding": Trait(
        "Port", "tower", "{place} got its first house in the year {value}", "When did {place} begin?",
        "Since when do people live at {place}?", "older", "newer", "houses",
    ),
    "people": Trait(
        "Port", "village", "{place} is home to {value} hundred families", "How large is {place}?",
        "How many people live at {place}?", "smaller", "larger", "families",
    ),
    "mouth": Trait(
        "Port", "bank", "{place} stands where the {value} river meets the sea", "Which water ends at {place}?",
        "What comes down to {place}?",
    ),
}  # fmt: skip
KINDS = ("Mount", "Lake", "Port")
WHERE = (
    "In the far north", "In the dry south", "By the east coast", "Under the west hills", "Under the old castle",
    "Over the salt road", "In a narrow valley", "By the first island",
)  # fmt: skip
AFTER = (
    "and snow stays near it until summer", "as every teacher tells the children there", "and few people know it",
    "so an old map in the castle says", "and its market opens on warm days", "as a queen once said in a letter",
    "and birds come back to it each spring", "but few people there think much of it",
)  # fmt: skip
IDLE = (
    "Some say that {place} has a story, but no one there knows it, and every day is quiet but for horses and dogs.",
    "A trader from {place} sold glass and paper, and people say that autumn is busy there and winter is not.",
    "The road to {place} is long and round, and one who comes by night needs a lamp and warm shoes.",
)


class Place(NamedTuple):
    """One place of the atlas."""

    kind: str
    name: str
    split: Split
    values: dict[str, str]
    """Value by trait."""
    entries: dict[str, str]
    """Id of the passage that holds the value, by trait."""

    @property
    def title(self) -> str:
        """Kind and name: "Mount Orrick"."""
        return f"{self.kind} {self.name}"


class Atlas(NamedTuple):
    """All places and every passage about them."""

    places: list[Place]
    passages: list[Passage]


@cache
def draw_atlas(seed: int = 0) -> Atlas:
    """The invented world of one seed."""
    rng = Random(f"atlas {seed}")
    called = rng.sample(names("atlas"), k=len(names("atlas")))
    rivers = called[PLACES:]
    splits: list[Split] = [split for split, share in SHARES for _ in range(round(share * PLACES))]
    rng.shuffle(splits)
    places: list[Place] = []
    passages: list[Passage] = []
    for number, (name, split) in enumerate(zip(called[:PLACES], splits, strict=True)):
        place = Place(KINDS[number % len(KINDS)], name, split, {}, {})
        _describe(place, rivers, passages, rng)
        places.append(place)
    order = rng.sample(range(len(passages)), k=len(passages))
    return Atlas(places, [passages[at] for at in order])


def _describe(place: Place, rivers: list[str], passages: list[Passage], rng: Random) -> None:
    """Draw the values of a place and write its entries."""
    texts: list[tuple[str, str]] = [("", rng.choice(IDLE).format(place=place.title))]
    mine = [(key, trait) for key, trait in TRAITS.items() if trait.kind == place.kind]
    for key, trait in mine:
        place.values[key] = _value(trait, rivers, rng)
        fact = trait.fact.format(place=place.title, value=place.values[key])
        texts.append((key, f"{rng.choice(WHERE)} {fact}, {rng.choice(AFTER)}."))
    _, trait = rng.choice(mine)
    namesake = f"{trait.namesake} of {place.name}"
    fact = trait.fact.format(place=f"the {namesake}", value=_value(trait, rivers, rng))
    texts.append(("", f"{rng.choice(WHERE)} {fact}, {rng.choice(AFTER)}."))
    for key, text in texts:
        title = place.title if place.title in text else f"{trait.namesake.capitalize()} of {place.name}"
        passages.append(Passage(f"p-{len(passages):05d}", title, text))
        if key:
            place.entries[key] = passages[-1].id


def _value(trait: Trait, rivers: list[str], rng: Random) -> str:
    return str(rng.randint(10, 99)) if trait.less else rng.choice(rivers)


def corpus(seed: int = 0) -> list[Passage]:
    """Every passage, in mixed order."""
    return list(draw_atlas(seed).passages)


def questions(split: Split, *, seed: int = 0, train: int = 1000, dev: int = 150, test: int = 400) -> list[Question]:
    """Look-ups of one split, as many as `train`, `dev` or `test` says or as its places have entries.

    Each needs one passage, and nothing is offered to choose from.
    """
    rng = Random(f"{seed} {split} {TASK}")
    entries = [(place, key) for place in draw_atlas(seed).places if place.split == split for key in place.values]
    wanted = {"train": train, "dev": dev, "test": test}[split]
    return [_look_up(TASK, split, place, key) for place, key in rng.sample(entries, k=min(wanted, len(entries)))]


def memory(split: Split, *, seed: int = 0, train: int = 480, dev: int = 150) -> list[Question]:
    """Look-ups of `train` facts and, as the test, of the very same facts in other words.

    Every other fact is taught in the second wording of its question and tested in the first, so that both wordings are
    known to whoever has learnt and nothing but the fact is left to remember. Fewer facts are the first of more. Dev
    asks for facts that nobody was taught.
    """
    home = "dev" if split == "dev" else "train"
    entries = [(place, key) for place in draw_atlas(seed).places if place.split == home for key in place.values]
    Random(f"{seed} {home} {MEMORY}").shuffle(entries)
    facts = enumerate(entries[: dev if split == "dev" else train])
    return [
        _look_up(MEMORY, split, place, key, again=(number % 2 == 1) != (split == "test"))
        for number, (place, key) in facts
    ]


def pairs(split: Split, *, seed: int = 0, train: int = 1200, dev: int = 200, test: int = 400) -> list[Question]:
    """Comparisons of one split: each needs two passages."""
    rng = Random(f"{seed} {split} {PAIRS}")
    places = [place for place in draw_atlas(seed).places if place.split == split]
    wanted = {"train": train, "dev": dev, "test": test}[split]
    found: dict[str, Question] = {}
    while len(found) < wanted:
        question = _comparison(split, places, rng)
        found.setdefault(question.id, question)
    return list(found.values())


def _look_up(task: str, split: Split, place: Place, key: str, *, again: bool = False) -> Question:
    """What one entry says of one place; `again` asks in the other wording."""
    trait, value = TRAITS[key], place.values[key]
    text = (trait.ask_again if again else trait.ask).format(place=place.title)
    meta = {"kind": "look-up", "trait": key, "place": place.title, "value": value, "gold_passages": place.entries[key]}
    return Question(question_id(task, text), task, split, text, (), value, meta)


def _comparison(split: Split, places: list[Place], rng: Random) -> Question:
    """Which of two places has more of a trait, or less."""
    key = rng.choice([key for key, trait in TRAITS.items() if trait.less])
    trait = TRAITS[key]
    pair = rng.sample([p for p in places if p.kind == trait.kind], k=2)
    values = [int(place.values[key]) for place in pair]
    if values[0] == values[1]:
        return _comparison(split, places, rng)
    asked = rng.choice((trait.less, trait.more))
    a, b = (place.title for place in pair)
    text = rng.choice(COMPARE).format(asked=asked, hint=trait.hint, a=a, b=b)
    first = (values[0] < values[1]) == (asked == trait.less)
    meta = {
        "kind": "comparison",
        "trait": key,
        "asked": asked,
        "values": f"{values[0]} {values[1]}",
        "gold_passages": " ".join(place.entries[key] for place in pair),
    }
    return Question(question_id(PAIRS, text, (a, b)), PAIRS, split, text, (a, b), LETTERS[not first], meta)

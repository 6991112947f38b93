"""What the pocket checkpoints are pretrained on: skills alone, never a task.

Each skill is a function from a random generator to one prompt and target, in words and with names that no task uses
(a test holds them apart). A student that starts from them can copy, look up, order and add, and knows no procedure:

    on file: Torvel barn 41; Kalnor sand 17; find Torvel        41
    work out 41 + 7 ; 9 - 3                                     41 + 7 = 48 ; 9 - 3 = 6
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from tutelage.pocket.words import COMMON, FIRST_NAMES, OPENERS, names

NAMES = names("skills")
NOUNS = COMMON[COMMON.index("red") : COMMON.index("zero")]
"""Things, places, colours and units: the part of the word list that sentences are about."""
LETTERS = "ABCDEF"
TOP = 99
"""Numbers run from 0 to this."""


class Pair(NamedTuple):
    """One prompt and what to write after it."""

    prompt: str
    target: str


def number(rng: Random) -> int:
    """A number up to TOP, one of a single digit in a quarter of all draws."""
    return rng.randint(0, 9) if rng.random() < 0.25 else rng.randint(10, TOP)


def anything(rng: Random) -> str:
    """A word of any kind, a name, a number or a mark."""
    kind = rng.random()
    if kind < 0.3:
        return rng.choice(NAMES)
    if kind < 0.5:
        return str(number(rng))
    if kind < 0.6:
        return rng.choice((*"+-=.,:()", "-->", "'s", rng.choice(LETTERS)))
    return rng.choice(rng.choice((COMMON, COMMON, OPENERS, FIRST_NAMES)))


def salad(rng: Random, low: int, high: int) -> list[str]:
    """Between `low` and `high` random common words."""
    return rng.choices(COMMON, k=rng.randint(low, high))


def repeat(rng: Random) -> Pair:
    """Copy a text."""
    text = " ".join(anything(rng) for _ in range(rng.randint(1, 14)))
    return Pair(f"{rng.choice(('echo', 'say again', 'type off'))} : {text}", text)


def continue_from(rng: Random) -> Pair:
    """Find a word in a text and copy what follows it."""
    items: list[str] = rng.sample(COMMON, k=rng.randint(6, 20))
    for at in range(len(items)):
        if rng.random() < 0.4:
            items[at] = rng.choice((rng.choice(NAMES), str(number(rng))))
    at = rng.randrange(len(items) - 3)
    items[at] = rng.choice(NAMES)
    length = rng.randint(1, 3)
    ask = rng.choice(("onward from", "resume at"))
    return Pair(f"{' '.join(items)} | {ask} {items[at]} {length}", " ".join(items[at + 1 : at + 1 + length]))


def fact(rng: Random, name: str, noun: str, value: str) -> str:
    """A sentence of loose words that ties a value to a name and a noun."""
    before, between, after = (salad(rng, 0, 2) for _ in range(3))
    core = rng.choice(([noun, value], [value, noun], [value, noun], [noun, *salad(rng, 0, 2), value]))
    return " ".join([*before, name, *between, *core, *after]) + "."


def facts(rng: Random, count: int, *, numeric: float = 1.0) -> list[tuple[str, str, str]]:
    """Distinct names, each with a noun and a value, which is a number with chance `numeric` and else a name."""
    chosen, nouns = rng.sample(NAMES, k=count), rng.sample(NOUNS, k=count)
    values = [str(number(rng)) if rng.random() < numeric else rng.choice(NAMES) for _ in range(count)]
    return list(zip(chosen, nouns, values, strict=True))


def look_up(rng: Random) -> Pair:
    """Find what a passage says of one name and one noun, among other names and nouns."""
    known = facts(rng, rng.randint(1, 3), numeric=0.75)
    name, noun, value = known[0]
    known.append((name, rng.choice([n for n in NOUNS[:99] if n != noun]), str(number(rng))))
    rng.shuffle(known)
    text = " ".join(fact(rng, *k) for k in known)
    ask, target = rng.choice(
        (
            (f"fetch {name} {noun}", f"{name} {noun} {value}."),
            (f"{noun} by {name}?", f"{name} {value}."),
            (f"state {name}'s {noun}", f"{value} {noun}."),
        )
    )
    return Pair(f"{text} {ask}" if rng.random() < 0.8 else f"{ask} : {text}", target)


def latest(rng: Random) -> Pair:
    """Find the newest value of a name that was given several."""
    chosen = rng.sample(NAMES, k=rng.randint(1, 3))
    entries = [(rng.choice(chosen), number(rng)) for _ in range(rng.randint(2, 7))]
    name = rng.choice(entries)[0]
    value = next(v for n, v in reversed(entries) if n == name)
    return Pair("log " + " ; ".join(f"{n} {v}" for n, v in entries) + f" | newest {name}", f"{name} {value}")


def gather(rng: Random) -> Pair:
    """Write out every name of a passage with its value."""
    known = facts(rng, rng.randint(2, 4))
    text = " ".join(fact(rng, *k) for k in known)
    return Pair(f"{text} gather", " ".join(f"{name} {value}." for name, _, value in known))


def order(rng: Random) -> Pair:
    """Say which of two numbers is the lesser, alone or as values of names."""
    low, high = sorted(rng.sample(range(TOP + 1), k=2))
    first, second = rng.sample((low, high), k=2)
    one, two = rng.sample(NAMES, k=2)
    lesser, other = (one, two) if first < second else (two, one)
    return rng.choice(
        (
            Pair(f"order {first} {second}", f"{low} < {high}."),
            Pair(f"{one} {first} and {two} {second} ; order", f"{low} < {high}. {lesser} {other}."),
            Pair(f"{one} {first} and {two} {second} ; least", f"{low} < {high}. {lesser}."),
            Pair(f"{one} {first} and {two} {second} ; most", f"{low} < {high}. {other}."),
        )
    )


def equation(rng: Random) -> tuple[str, str]:
    """A sum or difference within 0 to TOP, with and without its result; most of them move a number by one digit."""
    low = rng.randint(0, 9) if rng.random() < 0.95 else number(rng)
    low, high = sorted((low, rng.randint(0, 40) if rng.random() < 0.7 else number(rng)))
    if rng.random() < 0.5 and low + high <= TOP:
        first, second = (low, high) if rng.random() < 0.2 else (high, low)
        return f"{first} + {second}", f"{first} + {second} = {first + second}"
    return f"{high} - {low}", f"{high} - {low} = {high - low}"


def add(rng: Random) -> Pair:
    """Work out sums and differences, each by itself."""
    equations = [equation(rng) for _ in range(rng.randint(1, 5))]
    mark = rng.choice((" ;", ".", ","))
    asked, done = (f"{mark} ".join(side) for side in zip(*equations, strict=True))
    return Pair(f"{rng.choice(('work out', 'reckon', ''))} {asked}".strip(), f"{done}{mark}".removesuffix(" ;"))


def letter(rng: Random) -> Pair:
    """Say which option has a given text, or which text an option has."""
    count = rng.choice((2, 2, 2, 3, 4, 5))
    texts = [" ".join([*salad(rng, 0, 1), name, *salad(rng, 0, 1)]) for name in rng.sample(NAMES, k=count)]
    if rng.random() < 0.3:
        texts = rng.sample(COMMON, k=count)
    elif rng.random() < 0.3:
        texts = [str(n) for n in rng.sample(range(TOP + 1), k=count)]
    at = rng.randrange(count)
    style = rng.choice(("({}) {}", "({}) {},", "({}) {},", "{}. {}"))
    listed = " ".join(style.format(mark, text) for mark, text in zip(LETTERS, texts, strict=False))
    if rng.random() < 0.9:
        return Pair(f"{listed} | mark by {texts[at]}", f"{texts[at]} ({LETTERS[at]}) {LETTERS[at]}")
    return Pair(f"{listed} | under {LETTERS[at]}", texts[at])


def swap(rng: Random) -> Pair:
    """Rewrite who holds what after one trade."""
    count = rng.randint(2, 4)
    people, things = rng.sample(NAMES, k=count), rng.sample(NOUNS, k=count)
    one, two = rng.sample(range(count), k=2)
    before = ", ".join(f"{p} : {t}" for p, t in zip(people, things, strict=True))
    asked = f"{before} | exchange {people[one]} {people[two]}"
    things[one], things[two] = things[two], things[one]
    return Pair(asked, ", ".join(f"{p} : {t}" for p, t in zip(people, things, strict=True)))


def spell(rng: Random) -> Pair:
    """Spell a word, or give its last letter."""
    word = rng.choice(rng.choice((COMMON, FIRST_NAMES)))
    if rng.random() < 0.5:
        return Pair(f"letters in {word}", " ".join(word.lower()))
    return Pair(f"ending of {word}", word[-1])


Skill = Callable[[Random], Pair]
SKILLS: dict[str, tuple[float, Skill]] = {
    "repeat": (1.0, repeat),
    "continue from": (0.8, continue_from),
    "look up": (2.0, look_up),
    "latest": (0.4, latest),
    "gather": (0.8, gather),
    "order": (1.0, order),
    "add": (4.0, add),
    "letter": (1.2, letter),
    "swap": (0.3, swap),
    "spell": (0.2, spell),
}
"""Every skill with its share of the draws."""


def draw(rng: Random) -> Pair:
    """One pair of a skill drawn by its share."""
    weights = [weight for weight, _ in SKILLS.values()]
    skill = rng.choices([skill for _, skill in SKILLS.values()], weights)[0]
    return skill(rng)

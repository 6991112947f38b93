"""The rule-based teacher of the pocket world: it writes every step, and goes wrong as often as it is told to.

    Tormin starts with 12. 12 + 5 = 17. 17 - 3 = 14. 14 + 6 = 20.                                          (answer 20)
    Mount Orrick stands 84 spans tall. Mount Tasmin stands 47 spans tall. 47 is less than 84, so Mount Tasmin is lower
    and Mount Orrick is higher. The question asks which is higher: Mount Orrick, option (A).                (answer A)

A mistake is one wrong step; what follows is worked out from it, so rationale and answer agree with each other.
"""

from __future__ import annotations

from random import Random

from tutelage.errors import TaskError
from tutelage.pocket import atlas, steps
from tutelage.types import Question, Rationale

SOURCE = "teacher:pocket"
SLIPS = (1, 2, 3, 10)
"""By how much a wrong sum is too large."""
STARTS = ("{name} starts with {n}.", "It starts at {n}.", "The first count is {n}.")

CLOSINGS = (
    "The question asks which is {asked}: {place}, option ({answer}).",
    "The {asked} is {place}, option ({answer}).",
)
NAMINGS = ("The question asks for {value}.", "So it is {value}.")


def write(question: Question, sample: int, seed: int, error_rate: float = 0.0) -> Rationale:
    """The `sample`-th rationale for a question of a pocket task; wrong with chance `error_rate`.

    The same question, sample and seed give the same text. Samples differ in phrasing. Raises TaskError for a question
    of another task.
    """
    rng = Random(f"{seed} {question.id} {sample}")
    wrong = rng.random() < error_rate
    if question.task == steps.TASK:
        text, answer = _steps(question, sample, rng, wrong)
    elif question.task in (atlas.TASK, atlas.PAIRS, atlas.MEMORY):
        text, answer = _atlas(question, rng, wrong)
    else:
        raise TaskError(
            f"the pocket teacher knows {steps.TASK}, {atlas.TASK}, {atlas.PAIRS} and {atlas.MEMORY} alone, not "
            f"{question.task!r}. Choose another `teacher: backend:` in the recipe."
        )
    return Rationale(question.id, SOURCE, sample, text, answer, verdict=None)


def _steps(question: Question, sample: int, rng: Random, wrong: bool) -> tuple[str, str]:
    total = int(question.meta["start"])
    changes = [int(change) for change in question.meta["changes"].split()]
    slip_at = rng.randrange(len(changes)) if wrong else -1
    opening = STARTS[(rng.randrange(len(STARTS)) + sample) % len(STARTS)]
    sentences = [opening.format(name=question.meta["name"], n=total)]
    for at, change in enumerate(changes):
        result = total + change + (rng.choice(SLIPS) if at == slip_at else 0)
        sentences.append(f"{total} {'+' if change > 0 else '-'} {abs(change)} = {result}.")
        total = result
    return " ".join(sentences), str(total)


def _atlas(question: Question, rng: Random, wrong: bool) -> tuple[str, str]:
    if question.meta["kind"] == "look-up":
        return _look_up(question, rng, wrong)
    return _comparison(question, rng, wrong)


def _look_up(question: Question, rng: Random, wrong: bool) -> tuple[str, str]:
    """State the value; a mistake states that of a place that is not asked about."""
    trait, value = atlas.TRAITS[question.meta["trait"]], question.meta["value"]
    others = {place.values[question.meta["trait"]] for place in atlas.draw_atlas().places if place.kind == trait.kind}
    said = rng.choice(sorted(others - {value})) if wrong else value
    fact = trait.fact.format(place=question.meta["place"], value=said)
    return f"{fact}. {rng.choice(NAMINGS).format(value=said)}", said


def _comparison(question: Question, rng: Random, wrong: bool) -> tuple[str, str]:
    """State both values, order them, answer; a mistake swaps the values or the order."""
    trait, asked = atlas.TRAITS[question.meta["trait"]], question.meta["asked"]
    values = [int(value) for value in question.meta["values"].split()]
    misread = wrong and rng.random() < 0.5
    said = values[::-1] if misread else values
    stated = [trait.fact.format(place=p, value=v) + "." for p, v in zip(question.choices, said, strict=True)]
    lesser = int(said[1] < said[0])
    less_value, more_value = sorted(said)
    if wrong and not misread:
        lesser, less_value, more_value = 1 - lesser, more_value, less_value
    place = question.choices[lesser], question.choices[1 - lesser]
    pick = lesser if asked == trait.less else 1 - lesser
    answer = atlas.LETTERS[pick]
    order = f"{less_value} is less than {more_value}, so {place[0]} is {trait.less} and {place[1]} is {trait.more}."
    closing = rng.choice(CLOSINGS).format(asked=asked, place=question.choices[pick], answer=answer)
    return " ".join([*stated, order, closing]), answer

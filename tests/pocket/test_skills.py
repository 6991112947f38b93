"""Pretraining data: skills with names and phrasings of their own, right in every draw."""

from __future__ import annotations

import re
from functools import cache
from random import Random

import pytest

from tutelage.formats import get_format
from tutelage.pocket import atlas, skills, steps, teacher
from tutelage.pocket.words import HEADS, TAILS, names
from tutelage.types import SPLITS

PHRASE = 4
"""Words in a row that count as a phrasing."""


@cache
def skill_texts() -> list[str]:
    rng = Random("held apart")
    return [text for _ in range(20_000) for text in skills.draw(rng)]


@cache
def task_texts() -> list[str]:
    style = get_format("arrow")
    texts = [passage.text for passage in atlas.corpus()]
    for draw in (steps.questions, atlas.questions, atlas.pairs):
        for question in (q for split in SPLITS for q in draw(split)):
            written = teacher.write(question, 0, 0)
            texts += [style.prompt(question), style.target(written.text, question.answer)]
    return texts


def invented(texts: list[str]) -> set[str]:
    name = re.compile(rf"\b(?:{'|'.join(HEADS)})(?:{'|'.join(TAILS)})\b")
    return {found for text in texts for found in name.findall(text)}


def phrases(texts: list[str]) -> set[tuple[str, ...]]:
    """Every run of words, names and numbers read as one sign each."""
    known = {name.lower() for side in ("skills", "steps", "atlas") for name in names(side)}
    found: set[tuple[str, ...]] = set()
    for text in texts:
        run = ["@" if word in known else word for word in re.findall(r"[a-z]+|[.?!|;]", text.lower())]
        found |= {tuple(run[at : at + PHRASE]) for at in range(len(run) - PHRASE + 1)}
    return {phrase for phrase in found if sum(word.isalpha() for word in phrase) == PHRASE}


def test_no_name_of_a_task_is_ever_seen_in_pretraining():
    """A checkpoint that knows the task's names would not start from skills alone."""
    assert invented(skill_texts()) <= set(names("skills"))
    assert invented(task_texts()) <= set(names("steps")) | set(names("atlas"))


def test_no_phrase_of_four_words_is_shared_with_a_task():
    """Pretraining on a task's sentences would be training on the task."""
    assert not phrases(skill_texts()) & phrases(task_texts())


@pytest.mark.parametrize("skill", skills.SKILLS)
def test_a_draw_depends_on_its_generator_alone(skill):
    """Checkpoints must be makeable again."""
    _, draw = skills.SKILLS[skill]
    assert [draw(Random(4)) for _ in range(3)] == [draw(Random(4)) for _ in range(3)]
    assert all(pair.prompt and pair.target for pair in (draw(Random(seed)) for seed in range(300)))


def test_every_sum_is_true():
    """A false sum is learnt as readily as a true one."""
    for seed in range(500):
        for first, sign, second, result in re.findall(r"(\d+) ([+-]) (\d+) = (\d+)", skills.add(Random(seed)).target):
            assert int(result) == int(first) + int(sign + second)


def test_a_looked_up_value_stands_in_the_passage():
    """An answer that the prompt does not hold teaches guessing."""
    for seed in range(500):
        asked, written = skills.look_up(Random(seed))
        assert set(re.findall(r"\d+", written)) <= set(re.findall(r"\d+", asked))

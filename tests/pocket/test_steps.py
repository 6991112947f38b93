"""The steps task: reproducible, split by story, graded by its own numbers."""

from __future__ import annotations

import pytest

from tutelage.pocket import steps
from tutelage.types import SPLITS, Question, question_id


def story_of(question: Question) -> tuple[str, str]:
    return question.meta["start"], question.meta["changes"]


def test_same_seed_gives_the_same_questions():
    """A run that cannot be repeated cannot be compared with another."""
    assert steps.questions("test", seed=3) == steps.questions("test", seed=3)
    assert steps.questions("test", seed=3) != steps.questions("test", seed=4)


def test_splits_share_no_story_even_across_seeds():
    """A test story seen in training, under any name, would be scored as reasoning although it was remembered."""
    stories = {split: {story_of(q) for seed in (0, 1) for q in steps.questions(split, seed=seed)} for split in SPLITS}
    assert not stories["train"] & stories["test"]
    assert not stories["train"] & stories["dev"]
    assert not stories["dev"] & stories["test"]


def test_the_test_split_does_not_depend_on_the_size_of_the_others():
    """Two studies with different training sizes must be scored on the same questions."""
    assert steps.questions("test", train=10, dev=10) == steps.questions("test")


@pytest.mark.parametrize("others", [0, 1])
@pytest.mark.parametrize("split", SPLITS)
def test_sizes_ids_and_answers_hold(split, others):
    """A wrong gold answer or a doubled question would bend every number measured on the task."""
    questions = steps.questions(split, train=50, dev=40, test=30, others=others)
    assert len({q.id for q in questions}) == len(questions) == {"train": 50, "dev": 40, "test": 30}[split]
    for q in questions:
        assert (q.task, q.split, q.id) == ("pocket/steps", split, question_id(q.task, q.text))
        assert int(q.answer) == int(q.meta["start"]) + sum(map(int, q.meta["changes"].split()))
        assert 0 <= int(q.answer) <= 99


def test_every_change_stands_in_the_text_in_order():
    """The teacher works from `meta`, the student from the text: they must tell the same story."""
    for q in steps.questions("dev"):
        told = [int("".join(filter(str.isdigit, word))) for word in q.text.split() if any(map(str.isdigit, word))]
        assert told == [int(q.meta["start"]), *(abs(int(c)) for c in q.meta["changes"].split())]


def test_harder_stories_have_more_steps():
    """Difficulty is a setting of the task; it must take effect."""
    assert all(len(q.meta["changes"].split()) == 7 for q in steps.questions("dev", dev=20, steps=(7, 7)))

"""Mentor-KD: a mentor between teacher and student writes more rationales and lends its distributions."""

from __future__ import annotations

from tutelage.methods.study import Outcome, Study
from tutelage.recipe import MentorSection
from tutelage.runs import Stage


def mentor_kd(study: Study, seed: int) -> Outcome:
    """Mentor-KD (Lee, Kim and Lee, EMNLP 2024, Figure 2 and Eq. 5).

    We differ from the published code: epochs are chosen on dev, what the mentor wrote is deduplicated, padding is not
    distilled, and the divergence keeps its size at any temperature. `published: true` undoes what can be undone.
    """
    return study.score(mentored(study, seed), seed)


def mentored(study: Study, seed: int) -> Stage:
    """A student taught by teacher and mentor."""
    examples, soft = lessons(study, study.mentor, seed)
    return study.train(examples, seed, soft=soft)


def mentor_alone(study: Study, seed: int) -> Outcome:
    """The mentor itself on the test split (the Vanilla-KD rows of the mentor's size in Mentor-KD, Tables 2 and 3)."""
    mentor = trained_mentor(study, study.mentor, seed)
    return study.score(mentor, seed, study.mentor)


def trained_mentor(study: Study, settings: MentorSection, seed: int) -> Stage:
    """A mentor taught by the teacher or, in a chain, as a student is by a mentor of its own."""
    examples, soft = lessons(study, settings.mentor, settings.seed_of(seed), settings)
    return study.train(examples, seed, settings, soft=soft)


def lessons(
    study: Study, mentor: MentorSection | None, seed: int, learner: MentorSection | None = None
) -> tuple[Stage, Stage | None]:
    """What is learnt from: the teacher's correct rationales and the mentor's, with the mentor's soft labels.

    The `learner` is the student, or in a chain a mentor.
    """
    taught = study.taught()
    if mentor is None:
        return study.lessons.rationales(taught), None
    trained = trained_mentor(study, mentor, seed)
    examples = study.lessons.rationales(taught, study.augmented(trained, mentor, seed, taught=taught))
    return examples, study.soft_labels(trained, examples, learner)

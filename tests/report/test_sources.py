"""What teachers and mentors gave, out of results.json."""

from __future__ import annotations

from typing import Any

import pytest
from synthetic_run import TEACHER, mentor, soft_labels

from tutelage.report.sources import by_role, in_bytes, read_sources, sentences, soft_label_lines


def test_mentors_of_several_seeds_are_one_with_their_counts_summed():
    """Twenty bars for ten seeds of two arms hide what differs between the arms."""
    entries = [TEACHER, *(mentor(arm, seed) for seed in (2, 1) for arm in ("mentor-kd", "grounded-mentor"))]
    teacher, first, second = read_sources({"sources": entries})
    assert (teacher.role, teacher.seeds, teacher.texts, teacher.kept) == ("teacher", (), 240, 214)
    assert (first.arms, first.seeds, first.kept) == (("Mentor-KD",), (1, 2), 691 + 692)
    assert second.arms == ("Grounded mentor",)
    assert (first.asked, first.questions, first.without_teacher, first.gained) == (1080, 840, 680, 463)
    assert first.per_question == pytest.approx((691 + 692) / 840)
    assert first.texts == sum(first.counts.values())


def test_the_links_of_a_chain_stay_apart():
    """A mentor's mentor has the same arms and seeds; to add both up would count every question twice."""
    entries = [{**mentor("mentor-kd", seed), "gained": gained} for seed in (1, 2) for gained in (10, 20)]
    first, second = read_sources({"sources": entries})
    assert (first.seeds, first.gained) == ((1, 2), 20)
    assert (second.seeds, second.gained) == ((1, 2), 40)


def test_two_teachers_stay_apart():
    """They have no seeds to be told apart by."""
    assert len(read_sources({"sources": [TEACHER, TEACHER]})) == 2


def test_reasons_stand_in_one_order_and_unknown_ones_last():
    """Bars are compared by eye; a reason nobody foresaw is counted too."""
    entry = {**TEACHER, "yield": {"eaten by the dog": 2, "wrong": 3, "empty": 0, "kept": 1, "asked": 6}}
    (found,) = read_sources({"sources": [entry]})
    assert list(found.counts.items()) == [("kept", 1), ("wrong", 3), ("eaten by the dog", 2)]


@pytest.mark.parametrize("results", [{}, {"sources": []}, {"teacher": None}, {"sources": [{"role": "teacher"}]}])
def test_without_rationales_there_is_no_source(results: dict[str, Any]):
    """Plain fine-tuning learns from nobody."""
    assert read_sources(results) == []


def test_sentences_say_what_a_mentor_added():
    """The number Mentor-KD stands or falls with."""
    (one,) = read_sources({"sources": [mentor("mentor-kd", 1)]})
    assert sentences(one) == [
        "1,080 texts; 1.65 kept a question that has any.",
        "420 of 540 questions have a kept one.",
        "The teacher left 340 without a rationale; the mentor filled 231 of them (67.9%).",
    ]
    (idle,) = read_sources({"sources": [{**mentor("mentor-kd", 1), "without_teacher": 0, "gained": 0}]})
    assert sentences(idle)[-1] == "The teacher left no question without a rationale."


def test_one_line_a_role():
    """The terminal has room for little."""
    assert by_role(read_sources({"sources": [TEACHER, mentor("mentor-kd", 1)]})) == [
        "Teacher (pocket (rule-based, 7% mistakes)): 214 of 240 texts kept.",
        "Mentor (pocket/mini): 691 of 1,080 texts kept; 231 of 340 questions filled that the teacher had left without.",
    ]


def test_soft_labels_take_one_line_a_kind():
    """Whoever plans the disk for a larger run needs tokens, bytes a token, and what was kept of each."""
    drawn = {"mentor": "m", "tokens": 10, "top_k": None, "draws": 50, "temperature": 2.0, "bytes_per_token": 82.0}
    assert soft_label_lines({"soft_labels": [soft_labels(1), soft_labels(2), drawn]}) == [
        "pocket/mini: 80,003 tokens in 2 caches, top 16, temperature 1, 100 bytes a token, 8.0 MB",
        "m: 10 tokens, 50 draws a token, temperature 2, 82 bytes a token, 820 bytes",
    ]
    known = {"stored": 41, "tail_mass": 0.101, "missed": 0.0495, "against": "pocket/nano", "max_missed": 0.05}
    auto = {**soft_labels(1), "top_k": "auto", "tokens": 30, **known}
    other = {**auto, "tokens": 10, "tail_mass": 0.201, "missed": 0.0095}
    assert soft_label_lines({"soft_labels": [auto, other]}) == [
        "pocket/mini: 40 tokens in 2 caches, top 41 (auto), 12.6% of the mass and 4.0% of the divergence left out, "
        "temperature 1, 100 bytes a token, 4.0 kB",
    ]
    assert soft_label_lines({"soft_labels": [{"top_k": "auto", "tokens": 10}]}) == ["10 tokens, whole vocabulary"]
    assert soft_label_lines({"soft_labels": [{"tokens": None}]}) == ["0 tokens, whole vocabulary"]
    assert soft_label_lines({}) == []


@pytest.mark.parametrize(("size", "text"), [(820, "820 bytes"), (1500, "1.5 kB"), (3.2e6, "3.2 MB"), (1e10, "10.0 GB")])
def test_sizes_come_in_units_that_suit_them(size: float, text: str):
    assert in_bytes(size) == text

"""What a teacher cost, in sentences: calls, samples, tokens, money, and money for what came of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tutelage.report.cost import cost_lines, read_costs

COST: dict[str, Any] = {
    "requests": 1275,
    "calls": {"rate limited": 53, "answered": 1222},
    "samples": {"cut off": 186, "written": 2814},
    "tokens_read": 190_000,
    "tokens_written": 1_800_000,
    "spent": 1.11,
    "perhaps": 0.02,
    "currency": "EUR",
    "kept": 2220,
}
SOURCE = {"role": "teacher", "source": "big", "arms": ["Reasoning distillation", "Mentor-KD"], "cost": COST}


def arm(name: str, title: str) -> Any:
    return SimpleNamespace(arm=name, title=title)


ARMS = [arm("fine-tuning", "Fine-tuning"), arm("rd", "Reasoning distillation"), arm("mentor-kd", "Mentor-KD")]


def scores(**accuracies: float) -> Any:
    return {name.replace("_", "-"): SimpleNamespace(accuracy=value) for name, value in accuracies.items()}


def test_the_whole_bill_word_for_word():
    """1.11 for 2,220 kept rationales is half a thousandth each."""
    assert cost_lines(COST) == [
        "1,275 calls: 1,222 answered, 53 rate limited.",
        "3,000 samples: 2,814 written, 186 cut off.",
        "190,000 tokens read, 1,800,000 written.",
        "Spent 1.1100 EUR, 0.500 EUR for a thousand of the 2,220 kept rationales, at most 0.0200 more for calls whose "
        "answer never came whole.",
    ]


def test_without_prices_or_kept_rationales_nothing_is_divided():
    """A server of one's own costs no money that we know of."""
    assert cost_lines({**COST, "spent": None})[-1] == "No prices were given."
    assert cost_lines({**COST, "kept": 0, "perhaps": 0})[-1] == "Spent 1.1100 EUR."


def test_a_point_of_accuracy_has_a_price_where_there_is_one():
    """50% to 60% are ten points for 1.11; an arm that is no better than the baseline bought nothing, and says so."""
    results = {"baseline": "fine-tuning", "sources": [SOURCE]}
    [paid] = read_costs(results, ARMS, scores(fine_tuning=0.5, rd=0.6, mentor_kd=0.5))
    assert paid.name == "big"
    assert paid.lines[4:] == (
        "Reasoning distillation gains 10.0 points on Fine-tuning: 0.1110 EUR a point.",
        "Mentor-KD gains nothing on Fine-tuning, so a point has no price.",
    )


def test_who_was_not_asked_by_prompts_has_no_bill():
    """Recorded rationales were paid for by others."""
    assert read_costs({"sources": [{"role": "teacher"}, {"role": "mentor", "cost": COST}]}, ARMS, {}) == []
    assert read_costs({}, ARMS, {}) == []


def test_an_arm_that_did_not_learn_from_a_teacher_is_not_set_against_its_bill():
    """Two teachers, two bills."""
    alone = {**SOURCE, "arms": ["Mentor-KD"]}
    results = {"baseline": "fine-tuning", "sources": [alone]}
    [paid] = read_costs(results, ARMS, scores(fine_tuning=0.5, rd=0.9, mentor_kd=0.7))
    assert [line for line in paid.lines if "gains" in line] == [
        "Mentor-KD gains 20.0 points on Fine-tuning: 0.0555 EUR a point."
    ]

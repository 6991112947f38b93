"""Passages for which there was no room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from looked_up import look_up

from tutelage.report import write_report

MakeRun = Callable[..., Path]
FULL = {"arms": ["KARD"], "prompts": 1155, "without": 0, "dropped": 0, "shortened": 0}
CUT = {"arms": ["KARD", "Fine-tuning"], "prompts": 1155, "without": 12, "dropped": 1040, "shortened": 33}


def cautions(run: Path) -> str:
    return "\n".join(write_report(run).cautions)


def test_nothing_is_said_where_everything_was_shown(make_run: MakeRun):
    """A caution that always stands there is read by nobody."""
    assert "passage" not in cautions(look_up(make_run(arms=("fine-tuning", "kard"), test=9), prompts=[FULL]))


def test_training_prompts_without_room_are_told_once_for_all_arms(make_run: MakeRun):
    """Arms share their examples; the same sentence five times hides the one that matters."""
    found = cautions(look_up(make_run(arms=("fine-tuning", "kard"), test=9), prompts=[CUT]))
    assert (
        "KARD and Fine-tuning: of 1,155 training prompts 12 were shown no passage, 33 had their last passage "
        "shortened, 1,040 passages were left out. A larger max_prompt_tokens makes room."
    ) in found


def test_prompts_at_test_are_counted_from_the_predictions(make_run: MakeRun):
    """What a student answered from is what it was shown, not what was found."""
    found = cautions(look_up(make_run(arms=("fine-tuning", "kard"), seeds=(1, 2), test=9), unshown=4))
    assert "KARD: of 18 prompts at test 8 fewer than were found. A larger" in found

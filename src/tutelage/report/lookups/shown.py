"""How many prompts had no room for their passages: a student cannot learn from, or answer with, what it was not shown.

One entry of `prompts` in results.json, for training; what was shown at test stands in the predictions:

    {"arms": ["KARD (reranker)"], "prompts": 1155, "without": 12, "dropped": 40, "shortened": 33}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tutelage.report.run import ArmRun, Trained

ROOM = "A larger max_prompt_tokens makes room."


def cautions(results: Mapping[str, Any], arms: Iterable[ArmRun]) -> Iterator[tuple[str, str]]:
    """(title of an arm, what it was not shown); nothing for an arm that was shown all there was."""
    for row in results.get("prompts") or ():
        if said := _in_training(row):
            yield from ((title, said) for title in row["arms"])
    for arm in arms:
        if said := _at_test(arm):
            yield arm.title, said


def _in_training(row: Mapping[str, Any]) -> str:
    parts = [
        f"{row['without']:,} were shown no passage" if row.get("without") else "",
        f"{row['shortened']:,} had their last passage shortened" if row.get("shortened") else "",
        f"{row['dropped']:,} passages were left out" if row.get("dropped") else "",
    ]
    said = ", ".join(filter(None, parts))
    return f"of {row['prompts']:,} training prompts {said}. {ROOM}" if said else ""


def _at_test(arm: ArmRun) -> str:
    looked_up = [t for t in arm.by_seed.values() if any(p.hits for p in t.predictions)]  # others: a closed gate
    prompts = sum(len(trained.predictions) for trained in looked_up)
    without, fewer = (sum(found) for found in zip(*map(_not_shown, looked_up), strict=True)) if looked_up else (0, 0)
    parts = [
        f"{without:,} were shown no passage" if without else "",
        f"{fewer:,} fewer than were found" if fewer else "",
    ]
    said = " and ".join(filter(None, parts))
    return f"of {prompts:,} prompts at test {said}. {ROOM}" if said else ""


def _not_shown(trained: Trained) -> tuple[int, int]:
    """Questions asked without any passage, and with fewer than were found."""
    counts = [(len(p.rationales[0].passage_ids), len(p.hits)) for p in trained.predictions if p.rationales]
    return sum(not shown for shown, _ in counts), sum(0 < shown < found for shown, found in counts)

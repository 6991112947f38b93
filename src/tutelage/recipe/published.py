"""Where the published code of Mentor-KD differs in what changes results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

PUBLISHED: dict[str, Any] = {
    "teacher.trust_file": True,  # mentor_kd.py:140 believes `initial_correct`
    "student.schedule": "constant",  # M24: plain AdamW
    "student.warmup": 0.0,
    "student.max_grad_norm": None,
    "student.decay_norms": True,  # M12: no_decay names "LayerNorm", T5 calls it "layer_norm"
    "student.select": "test_accuracy",  # Appendix B: "the best test accuracy per epoch"
    "mentor.schedule": "constant",
    "mentor.warmup": 0.0,
    "mentor.max_grad_norm": None,
    "mentor.decay_norms": True,
    "mentor.select": "last",  # M6: the weights saved as the best are those of the last epoch
    "soft_labels.scaled": False,  # M7
    "soft_labels.live": True,  # M10: the mentor's whole distribution, worked out in every step
}
"""What `published: true` sets, and where the published code of Mentor-KD (2hojae/mentor-kd at ec9ea11) does so."""


def conventions(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What `published: true` means for this raw recipe, by dotted key: of the sections that it has, of every mentor."""
    sections = {name for name in ("teacher", "mentor") if not raw.get(name)}
    mine = {key: value for key, value in PUBLISHED.items() if key.partition(".")[0] not in sections}
    prefix, mentor = "mentor.", raw.get("mentor")
    while isinstance(mentor, dict) and (mentor := cast("dict[str, Any]", mentor).get("mentor")):
        prefix += "mentor."
        mine |= {prefix + key.removeprefix("mentor."): v for key, v in PUBLISHED.items() if key.startswith("mentor.")}
    return mine


def contradicted(raw: Mapping[str, Any]) -> list[str]:
    """The dotted keys of a raw recipe, or of what an arm sets, that say otherwise than the published code."""
    published = conventions(raw)
    return [key for key, value in _dotted(raw) if key in published and published[key] != value]


def _dotted(raw: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in raw.items():
        if isinstance(value, dict):
            yield from _dotted(cast("dict[str, Any]", value), f"{prefix}{key}.")
        else:
            yield prefix + key, value

"""What a loss is made of besides the targets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tutelage.plugins import unknown
from tutelage.recipe.section import Positive, Section, Share

SOFT_LOSSES = ("kl", "reverse-kl", "jsd", "soft-cross-entropy")
LIVE_LOSSES = ("logit-mse", "hidden-mse")
"""They need more of the mentor than probabilities, so it must run in every step."""
DRAWN_LOSSES = ("kl", "soft-cross-entropy")
"""Those that stay unbiased when tokens are drawn."""


class SoftLabelSection(Section):
    """The mentor's token distributions: loss = (1 - weight) * rationale loss + weight * divergence."""

    loss: str = "kl"
    """kl (from mentor to student, the paper's), reverse-kl, jsd or soft-cross-entropy; with `live` also logit-mse and
    hidden-mse."""
    weight: Share = 0.3
    """λ of Mentor-KD, Eq. 5: 0 is the rationale loss alone, 1 the mentor alone."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    scaled: bool = True
    """Multiply the divergence by the temperature's square (Hinton et al. 2015), so that its gradient keeps its size."""
    top_k: Positive | Literal["auto"] | None = 16
    """Most probable tokens kept for each position, with the mass of the rest; null keeps the whole vocabulary, `auto`
    as few as `max_missed` allows."""
    max_missed: Share = 0.05
    """The share of the divergence between mentor and untrained student that the cache may miss: the bound of `top_k:
    auto`; above it the report warns. Ours."""
    draws: Positive | None = None
    """Instead of the most probable: so many tokens drawn from the distribution, unbiased (arXiv 2503.16870)."""
    live: bool = False
    """Run the mentor in every step instead of once beforehand: slower, for losses that need more than probabilities."""
    layers: list[tuple[int, int]] | None = None
    """For hidden-mse: pairs of student and mentor layer; without it the last of each."""

    @model_validator(mode="after")
    def _possible(self) -> SoftLabelSection:
        if ":" not in self.loss and self.loss not in SOFT_LOSSES + LIVE_LOSSES:
            raise ValueError(unknown("loss of soft labels", self.loss, SOFT_LOSSES + LIVE_LOSSES))
        if self.loss in LIVE_LOSSES and not self.live:
            raise ValueError(f"loss {self.loss!r} needs the mentor itself; set `live: true`")
        if self.loss in LIVE_LOSSES and self.temperature != 1:
            raise ValueError(f"loss {self.loss!r} compares no distributions, so it has no temperature; leave it at 1")
        if self.live and self.top_k not in (None, _top_k()):
            raise ValueError("`top_k` is for the cache; with `live: true` all of the distribution counts. Leave it out")
        if self.draws and self.top_k not in (None, _top_k()):
            raise ValueError("`draws` are stored instead of the most probable tokens; leave `top_k` out")
        if self.draws and (self.live or self.loss not in DRAWN_LOSSES):
            raise ValueError(f"`draws` goes with a cache (live: false) and with {' or '.join(DRAWN_LOSSES)}")
        if self.layers is not None and self.loss != "hidden-mse":
            raise ValueError("`layers` is for the loss hidden-mse")
        return self


def _top_k() -> int:
    return SoftLabelSection.model_fields["top_k"].default


class MccSection(Section):
    """MCC-KD: loss = rationale loss + weight * how far two rationales of a question lead to other answers."""

    weight: Annotated[float, Field(ge=0)] = 0.1
    """α; 0.1 in the published code (homzer/MCC-KD at 86d263e, train_mcc.py:30)."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Of the compared distributions; 1.0 in the published code, 1.3 in Mentor-KD's runs of it."""
    ngram: Positive = 3
    """Rationales are unlike that share few n-grams of so many words; 3 in Mentor-KD's file of chosen pairs."""


class StepByStepSection(Section):
    """Distilling step-by-step: loss = answer_share * answer loss + (1 - answer_share) * rationale loss."""

    answer_share: Share = 0.5
    """α of the published code (google-research/distilling-step-by-step at ef94426, run.py), whose default this is."""

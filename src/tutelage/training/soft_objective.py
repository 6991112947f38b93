"""Learn from targets and from a mentor's distribution over each next token (Mentor-KD, Lee et al., EMNLP 2024, Eq. 5).

    loss = (1 - weight) * cross-entropy + weight * divergence(mentor, student)        on target tokens only

    train(examples, dev, settings, teaching=FromSoftLabels(folder, fingerprint, weight=0.3, temperature=2.0), ...)

`FromSoftLabels` reads what a mentor was asked once. `FromMentor` runs the mentor in every step, as the published code
does, for losses that need all of it. Where we differ from that code: prompts and padding are masked (it distils
padding), and with `scaled` the divergence is multiplied by temperature², without which its gradient shrinks with the
temperature (Hinton et al. 2015, section 2); Mentor-KD has no such factor. `scaled` changes nothing at temperature 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.errors import RunError
from tutelage.models import LanguageModel, fits_vocabulary, load
from tutelage.plugins import resolve
from tutelage.training.batching import Row
from tutelage.training.divergences import DIVERGENCES, UNBIASED_WITH_DRAWS
from tutelage.training.live_mentor import HiddenStates, LiveMentor, LiveMixture
from tutelage.training.objective import Objective
from tutelage.training.settings import Settings
from tutelage.training.soft_labels import SoftLabels, other_tokenizer
from tutelage.training.soft_targets import HIDDEN_MSE, LIVE_ONLY, CachedTargets, Mixture


@dataclass(frozen=True)
class FromSoftLabels(Mixture):
    """A mentor's cached distributions, see `soft_labels.write_soft_labels`."""

    folder: Path
    fingerprint: str
    """Of the stage that wrote them; it stands for the folder in `arguments`."""

    def arguments(self) -> dict[str, Any]:
        """See `Teaching.arguments`."""
        return {"soft_labels": {"from": self.fingerprint, **self.mixed}}

    def prepare(self, lm: LanguageModel, rows: Sequence[Row], settings: Settings) -> Objective:
        """See `Teaching.prepare`. Raises RunError where the cache does not fit the student, its rows or the loss."""
        self.check()
        if self.loss in LIVE_ONLY:
            raise RunError(f"soft_labels.loss: {self.loss} needs the mentor in every step (live), not its soft labels.")
        cache = SoftLabels.open(self.folder).at(self.temperature)
        if cache.draws and self.loss not in UNBIASED_WITH_DRAWS:
            raise RunError(
                f"soft_labels.loss: {self.loss} is biased on drawn soft labels. "
                f"Choose {' or '.join(UNBIASED_WITH_DRAWS)}, or write them with top_k instead of draws."
            )
        cache.check(lm, rows)
        return CachedTargets(lm, rows, cache, resolve(self.loss, DIVERGENCES, "soft-label loss"), self)


@dataclass(frozen=True)
class FromMentor(LiveMixture):
    """The mentor itself, run in every step on the student's batch and device."""

    model: str
    """A name or folder."""
    fingerprint: str
    """Of its checkpoint; it stands for the model in `arguments`."""

    def arguments(self) -> dict[str, Any]:
        """See `Teaching.arguments`."""
        layers = [list(pair) for pair in self.layers] if self.layers else None
        return {"mentor": {"from": self.fingerprint, **self.mixed, "layers": layers}}

    def prepare(self, lm: LanguageModel, rows: Sequence[Row], settings: Settings) -> Objective:
        """See `Teaching.prepare`. Raises RunError where the mentor does not fit the student, its rows or the loss."""
        self.check()
        if self.loss in LIVE_ONLY and self.temperature != 1.0:
            raise RunError(f"soft_labels.loss: {self.loss} has no temperature. Leave temperature at 1.")
        if self.layers and self.loss != HIDDEN_MSE:
            raise RunError(f"soft_labels.layers are for loss {HIDDEN_MSE}, not {self.loss}. Leave them out.")
        mentor = load(self.model, device="cpu")
        _check_mentor(mentor, lm, rows)
        if self.loss == HIDDEN_MSE:
            return HiddenStates(lm, rows, mentor, self, settings)
        return LiveMentor(lm, rows, mentor, self, settings)


def _check_mentor(mentor: LanguageModel, lm: LanguageModel, rows: Sequence[Row]) -> None:
    """A mentor reads the student's own batch, so both must mean the same by it."""
    if not fits_vocabulary(mentor, lm):
        raise RunError(other_tokenizer(mentor.name, lm.name))
    if mentor.kind != lm.kind or (lm.kind == "encoder-decoder" and mentor.start_id != lm.start_id):
        raise RunError(
            f"mentor {mentor.name} ({mentor.kind}) and student {lm.name} ({lm.kind}) do not read the same batch. "
            "Choose two models of one architecture."
        )
    for row in rows:
        prompt, target = row.lengths
        length = max(row.lengths) if lm.kind == "encoder-decoder" else prompt + target - 1
        if mentor.positions is not None and length > mentor.positions:
            raise RunError(
                f"example {row.id} has {length} tokens, more than the {mentor.positions} of mentor {mentor.name}. "
                "Lower max_prompt_tokens and max_target_tokens, or leave the example out."
            )

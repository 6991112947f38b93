"""Learn from targets and from a mentor's distribution over each next token (Mentor-KD, Lee et al., EMNLP 2024, Eq. 5).

    loss = (1 - weight) * cross-entropy + weight * divergence(mentor, student)        on target tokens only

    train(examples, dev, settings, teaching=FromSoftLabels(folder, fingerprint, weight=0.3, temperature=2.0), ...)

`FromSoftLabels` reads what a mentor was asked once. `FromMentor` runs the mentor in every step, as the published code
does, for losses that need all of it. Where we differ from that code: prompts and padding are masked (it distils
padding), and with `scaled` the divergence is multiplied by temperature², without which its gradient shrinks with the
temperature (Hinton et al. 2015, section 2); Mentor-KD has no such factor. `scaled` changes nothing at temperature 1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from tutelage.errors import RunError
from tutelage.models import LanguageModel, fits_vocabulary, is_adapted, load
from tutelage.plugins import resolve
from tutelage.runs import write_json
from tutelage.training.batching import Collator, Row
from tutelage.training.divergences import (
    DIVERGENCES,
    UNBIASED_WITH_DRAWS,
    Divergence,
    Student,
    mean_squares,
    nll,
    over_stored,
    over_tokens,
)
from tutelage.training.losses import LossSum, token_count
from tutelage.training.objective import Found, Objective
from tutelage.training.settings import Settings
from tutelage.training.soft_labels import (
    SoftLabels,
    counted,
    logits_at,
    other_tokenizer,
    vocabulary_width,
    written_at,
)

LOGIT_MSE, HIDDEN_MSE = "logit-mse", "hidden-mse"
LIVE_ONLY = (LOGIT_MSE, HIDDEN_MSE)
"""Losses that need more of the mentor than its distribution; no temperature applies to them."""

PROJECTIONS = "mentor_projections"
"""Name of the layers that `hidden-mse` adds to a student while it learns."""


@dataclass(frozen=True)
class FromSoftLabels:
    """A mentor's cached distributions, see `soft_labels.write_soft_labels`."""

    folder: Path
    fingerprint: str
    """Of the stage that wrote them; it stands for the folder in `arguments`."""
    loss: str = "kl"
    """A name in DIVERGENCES or "package.module:function"."""
    weight: float = 0.3
    """In [0, 1]; 0 is the targets alone, 1 the mentor alone. 0.3 is Mentor-KD's."""
    temperature: float = 1.0
    scaled: bool = True
    """Whether the divergence is multiplied by temperature²."""

    def arguments(self) -> dict[str, Any]:
        """See `Teaching.arguments`."""
        return {"soft_labels": {"from": self.fingerprint, **_arguments(self)}}

    def prepare(self, lm: LanguageModel, rows: Sequence[Row], settings: Settings) -> Objective:
        """See `Teaching.prepare`. Raises RunError where the cache does not fit the student, its rows or the loss."""
        _check_shares(self)
        if self.loss in LIVE_ONLY:
            raise RunError(f"soft_labels.loss: {self.loss} needs the mentor in every step (live), not its soft labels.")
        cache = SoftLabels.open(self.folder).at(self.temperature)
        if cache.draws and self.loss not in UNBIASED_WITH_DRAWS:
            raise RunError(
                f"soft_labels.loss: {self.loss} is biased on drawn soft labels. "
                f"Choose {' or '.join(UNBIASED_WITH_DRAWS)}, or write them with top_k instead of draws."
            )
        cache.check(lm, rows)
        return SoftTargets(lm, rows, cache, resolve(self.loss, DIVERGENCES, "soft-label loss"), self)


@dataclass(frozen=True)
class FromMentor:
    """The mentor itself, run in every step on the student's batch and device."""

    model: str
    """A name or folder."""
    fingerprint: str
    """Of its checkpoint; it stands for the model in `arguments`."""
    loss: str = "kl"
    """As for FromSoftLabels, or logit-mse (raw logits of the shared tokens) or hidden-mse (outputs of layers)."""
    weight: float = 0.3
    temperature: float = 1.0
    scaled: bool = True
    layers: tuple[tuple[int, int], ...] | None = None
    """For hidden-mse: pairs of a student's and a mentor's decoder layer, counted from 1; None pairs the last two."""

    def arguments(self) -> dict[str, Any]:
        """See `Teaching.arguments`."""
        layers = [list(pair) for pair in self.layers] if self.layers else None
        return {"mentor": {"from": self.fingerprint, **_arguments(self), "layers": layers}}

    def prepare(self, lm: LanguageModel, rows: Sequence[Row], settings: Settings) -> Objective:
        """See `Teaching.prepare`. Raises RunError where the mentor does not fit the student, its rows or the loss."""
        _check_shares(self)
        if self.loss in LIVE_ONLY and self.temperature != 1.0:
            raise RunError(f"soft_labels.loss: {self.loss} has no temperature. Leave temperature at 1.")
        if self.layers and self.loss != HIDDEN_MSE:
            raise RunError(f"soft_labels.layers are for loss {HIDDEN_MSE}, not {self.loss}. Leave them out.")
        mentor = load(self.model, device="cpu")
        _check_mentor(mentor, lm, rows)
        if self.loss == HIDDEN_MSE:
            return HiddenStates(lm, rows, mentor, self, settings)
        return LiveMentor(lm, rows, mentor, self, settings)


class SoftTargets:
    """Targets and a mentor's distributions for them: what all kinds share, and the kind that reads a cache."""

    terms: tuple[str, ...] = ("rationale", "soft")
    groups_in_batch: int | None = None

    def __init__(
        self,
        lm: LanguageModel,
        rows: Sequence[Row],
        cache: SoftLabels | None,
        divergence: Divergence | None,
        shares: FromSoftLabels | FromMentor,
    ) -> None:
        self.groups: Sequence[Sequence[Row]] = [(row,) for row in rows]
        self.lm, self.collator, self.cache, self.divergence = lm, Collator(lm), cache, divergence
        self.weight, self.temperature = shares.weight, shares.temperature
        self.factor = shares.temperature**2 if shares.scaled and shares.loss not in LIVE_ONLY else 1.0
        self.width = vocabulary_width(lm)

    def collate(self, groups: Sequence[Sequence[Row]]) -> dict[str, Tensor]:
        """See `Objective.collate`. What is needed of each counted token (N) is picked here, before it costs a wait."""
        rows = [row for group in groups for row in group]
        batch = self.collator(rows)
        batch["places"] = counted(batch["labels"])
        if self.cache:
            soft = self.cache.read(rows)
            batch["log_p"] = soft.log_p
            if soft.ids is not None:
                batch["ids"] = soft.ids
        return batch

    def __call__(self, model: Any, batch: dict[str, Tensor]) -> Found:
        """See `Objective.__call__`."""
        labels_BT, weights_B, places_N = (batch.pop(name) for name in ("labels", "weights", "places"))
        labels_N = labels_BT.flatten()[places_N]
        weights_N = weights_B[places_N // labels_BT.shape[1]]
        nll_N, distance_N = self.compare(model, batch, places_N, labels_N)
        terms = {
            "rationale": _share(1 - self.weight, nll_N, weights_N),
            "soft": _share(self.weight * self.factor, distance_N, weights_N),
        }
        return Found(LossSum(terms["rationale"] + terms["soft"], token_count(labels_BT, weights_B)), terms)

    def compare(
        self, model: Any, batch: dict[str, Tensor], places_N: Tensor, labels_N: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Negative log-likelihood of each counted label, and the student's distance from the mentor there."""
        log_p_NK, ids_NK = batch.pop("log_p"), batch.pop("ids", None)
        student = self._student(logits_at(self.lm, model, batch, places_N), labels_N, ids_NK)
        assert self.divergence
        return student.nll, self.divergence(log_p_NK, student.log_q)

    def _student(self, logits_NV: Tensor, labels_N: Tensor, ids_NK: Tensor | None) -> Student:
        if ids_NK is None:
            return over_tokens(logits_NV, labels_N, temperature=self.temperature, width=self.width)
        tail = self.cache is not None and self.cache.has_tail
        return over_stored(logits_NV, labels_N, ids_NK, temperature=self.temperature, width=self.width, tail=tail)


class LiveMentor(SoftTargets):
    """The mentor's distribution, or its raw logits, over all tokens, worked out in every step."""

    def __init__(
        self, lm: LanguageModel, rows: Sequence[Row], mentor: LanguageModel, by: FromMentor, settings: Settings
    ) -> None:
        known = DIVERGENCES | dict.fromkeys(LIVE_ONLY)
        super().__init__(lm, rows, None, resolve(by.loss, known, "soft-label loss"), by)
        self.mentor, self.precision = mentor, settings.precision

    def compare(
        self, model: Any, batch: dict[str, Tensor], places_N: Tensor, labels_N: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `SoftTargets.compare`."""
        mentor_NV = self.ask(batch, places_N).logits[:, : self.width].float()
        logits_NV = logits_at(self.lm, model, batch, places_N)
        if self.divergence is None:
            return nll(logits_NV, labels_N), mean_squares(mentor_NV, logits_NV[:, : self.width].float())
        student = self._student(logits_NV, labels_N, None)
        return student.nll, self.divergence((mentor_NV / self.temperature).log_softmax(-1), student.log_q)

    @torch.no_grad()
    def ask(self, batch: dict[str, Tensor], places_N: Tensor, **asked: Any) -> Any:
        """What the mentor makes of the batch, in evaluation mode and in the precision that the student trains in."""
        device = places_N.device
        if self.mentor.device != device:
            self.mentor.model.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=self._in_bf16(device)):
            return written_at(self.mentor, self.mentor.model, batch, places_N, **asked)

    def _in_bf16(self, device: torch.device) -> bool:
        if self.precision != "auto":
            return self.precision == "bf16"
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


class HiddenStates(LiveMentor):
    """Outputs of decoder layers, the student's brought to the mentor's width by a layer that is learnt with it.

    That layer belongs to the student's network while it learns, so optimizer, checkpoints and resume carry it;
    `strip_projections` removes it from the student that is kept.
    """

    def __init__(
        self, lm: LanguageModel, rows: Sequence[Row], mentor: LanguageModel, by: FromMentor, settings: Settings
    ) -> None:
        super().__init__(lm, rows, mentor, by, settings)
        if is_adapted(lm):
            raise RunError(f"soft_labels.loss: {HIDDEN_MSE} cannot train adapters. Leave out lora, or choose kl.")
        self.layers = by.layers or ((_depth(lm), _depth(mentor)),)
        for mine, its in self.layers:
            if not (1 <= mine <= _depth(lm) and 1 <= its <= _depth(mentor)):
                raise RunError(
                    f"soft_labels.layers: ({mine}, {its}), but the student has decoder layers 1 to {_depth(lm)} "
                    f"and the mentor 1 to {_depth(mentor)}."
                )
        with torch.random.fork_rng():
            torch.manual_seed(settings.seed)
            projections = [torch.nn.Linear(_hidden_width(lm), _hidden_width(mentor)) for _ in self.layers]
        self.projections = torch.nn.ModuleList(projections).to(lm.device)
        lm.model.add_module(PROJECTIONS, self.projections)

    def compare(
        self, model: Any, batch: dict[str, Tensor], places_N: Tensor, labels_N: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `SoftTargets.compare`. Mean over the mentor's width and over the pairs of layers."""
        its = _layers(self.ask(batch, places_N, output_hidden_states=True))
        written = written_at(self.lm, model, batch, places_N, output_hidden_states=True)
        mine = _layers(written)
        distances = [
            mean_squares(_at(its[there], places_N), project(_at(mine[here], places_N)))
            for (here, there), project in zip(self.layers, self.projections, strict=True)
        ]
        return nll(written.logits, labels_N), torch.stack(distances).mean(0)


def drowned(terms: Mapping[str, float], gradient_norms: Mapping[str, float]) -> str | None:
    """What to say where the gradient of one term is more than a hundred times another's: that one teaches nothing.

    `terms` and `gradient_norms` as in a row of a training's history. A term that was switched off (weight 0, so no
    gradient) drowns nothing and is not drowned.
    """
    norms = {name: gradient_norms[name] for name in terms if gradient_norms.get(name, 0.0) > 0}
    if len(norms) < 2:
        return None
    loud, soft = max(norms, key=lambda name: norms[name]), min(norms, key=lambda name: norms[name])
    ratio = norms[loud] / norms[soft]
    if ratio <= 100:
        return None
    return (
        f"the gradient of term {loud!r} is {ratio:,.0f} times that of {soft!r} (losses {terms[loud]:.3g} and "
        f"{terms[soft]:.3g}), so {soft!r} teaches next to nothing. Give {soft!r} more weight or {loud!r} less."
    )


def strip_projections(folder: Path) -> None:
    """Remove from a checkpoint's weights what `hidden-mse` added, so that it is an ordinary folder. Safe to repeat."""
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            metadata, names = file.metadata(), list(file.keys())
            kept = {name: file.get_tensor(name) for name in names if not name.startswith(f"{PROJECTIONS}.")}
        if len(kept) < len(names):
            whole = path.with_name(f".{path.name}.tmp")
            save_file(kept, whole, metadata)
            whole.replace(path)
    index = folder / "model.safetensors.index.json"
    if index.exists():
        listed = json.loads(index.read_text())
        weights = {name: file for name, file in listed["weight_map"].items() if not name.startswith(f"{PROJECTIONS}.")}
        write_json(index, {**listed, "weight_map": weights})


def _arguments(shares: FromSoftLabels | FromMentor) -> dict[str, Any]:
    return {name: getattr(shares, name) for name in ("loss", "weight", "temperature", "scaled")}


def _check_shares(shares: FromSoftLabels | FromMentor) -> None:
    if not 0 <= shares.weight <= 1:
        raise RunError(f"soft_labels.weight: {shares.weight}; expected a number from 0 to 1.")
    if shares.temperature <= 0:
        raise RunError(f"soft_labels.temperature: {shares.temperature}; expected a number above 0.")


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


def _share(weight: float, values_N: Tensor, weights_N: Tensor) -> Tensor:
    """A term as it enters the loss. One of weight zero is a plain zero: even where it is infinite, and at no cost."""
    return weight * (values_N * weights_N).sum() if weight else weights_N.new_zeros(())


def _layers(written: Any) -> tuple[Tensor, ...]:
    """Outputs of the decoder: of the embeddings, then of each layer."""
    decoder = getattr(written, "decoder_hidden_states", None)
    return written.hidden_states if decoder is None else decoder


def _at(hidden_BTH: Tensor, places_N: Tensor) -> Tensor:
    return hidden_BTH.flatten(0, 1)[places_N].float()


def _depth(lm: LanguageModel) -> int:
    config = lm.model.config
    names = ("num_decoder_layers", "decoder_layers", "num_hidden_layers")
    return next(int(getattr(config, name)) for name in names if getattr(config, name, None))


def _hidden_width(lm: LanguageModel) -> int:
    return int(lm.model.config.hidden_size)

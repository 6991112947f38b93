"""A mentor that runs in every step: for losses that need all of its logits, or its hidden states."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from tutelage.errors import RunError
from tutelage.models import LanguageModel, autocast, is_adapted
from tutelage.plugins import resolve
from tutelage.precision import Precision, autocast_dtype
from tutelage.runs import write_json
from tutelage.training.batching import Row
from tutelage.training.divergences import DIVERGENCES, mean_squares, nll, over_tokens
from tutelage.training.last_layer import logits_at, written_at
from tutelage.training.settings import Settings
from tutelage.training.soft_targets import HIDDEN_MSE, LIVE_ONLY, Mixture, SoftTargets

PROJECTIONS = "mentor_projections"
"""Name of the layers that `hidden-mse` adds to a student while it learns."""


@dataclass(frozen=True, kw_only=True)
class LiveMixture(Mixture):
    """Losses may also be logit-mse (raw logits of the shared tokens) or hidden-mse (outputs of layers)."""

    layers: tuple[tuple[int, int], ...] | None = None
    """For hidden-mse: pairs of a student's and a mentor's decoder layer, counted from 1; None pairs the last two."""


class LiveMentor(SoftTargets):
    """The mentor's distribution, or its raw logits, over all tokens, worked out in every step."""

    def __init__(
        self, lm: LanguageModel, rows: Sequence[Row], mentor: LanguageModel, by: LiveMixture, settings: Settings
    ) -> None:
        known = DIVERGENCES | dict.fromkeys(LIVE_ONLY)
        super().__init__(lm, rows, resolve(by.loss, known, "soft-label loss"), by)
        self.mentor = mentor
        self.precision: Precision = settings.precision

    def distances(
        self, model: Any, batch: dict[str, Tensor], places_N: Tensor, labels_N: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `SoftTargets.distances`."""
        mentor_NV = self.ask(batch, places_N).logits[:, : self.width].float()
        logits_NV = logits_at(self.lm, model, batch, places_N)
        if self.divergence is None:
            return nll(logits_NV, labels_N), mean_squares(mentor_NV, logits_NV[:, : self.width].float())
        student = over_tokens(logits_NV, labels_N, temperature=self.temperature, width=self.width)
        return student.nll, self.divergence((mentor_NV / self.temperature).log_softmax(-1), student.log_q)

    @torch.no_grad()
    def ask(self, batch: dict[str, Tensor], places_N: Tensor, **asked: Any) -> Any:
        """What the mentor makes of the batch, in evaluation mode and in the precision that the student trains in."""
        device = places_N.device
        if self.mentor.device != device:
            self.mentor.model.to(device)
        with autocast(device, autocast_dtype(self.precision, self.mentor.model, device)):
            return written_at(self.mentor, self.mentor.model, batch, places_N, **asked)


class HiddenStates(LiveMentor):
    """Outputs of decoder layers, the student's brought to the mentor's width by a layer that is learnt with it.

    That layer belongs to the student's network while it learns, so optimizer, checkpoints and resume carry it;
    `strip_projections` removes it from the student that is kept.
    """

    def __init__(
        self, lm: LanguageModel, rows: Sequence[Row], mentor: LanguageModel, by: LiveMixture, settings: Settings
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

    def distances(
        self, model: Any, batch: dict[str, Tensor], places_N: Tensor, labels_N: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `SoftTargets.distances`. Mean over the mentor's width and over the pairs of layers."""
        its = _layers(self.ask(batch, places_N, output_hidden_states=True))
        written = written_at(self.lm, model, batch, places_N, output_hidden_states=True)
        mine = _layers(written)
        distances = [
            mean_squares(_at(its[there], places_N), project(_at(mine[here], places_N)))
            for (here, there), project in zip(self.layers, self.projections, strict=True)
        ]
        return nll(written.logits, labels_N), torch.stack(distances).mean(0)


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

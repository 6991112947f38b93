"""What a top k leaves out of a mentor's distributions: probability mass, and divergence that no student is taught.

Stored are the k likeliest tokens and the mass of all others together. A student is compared over these k + 1 buckets,
and the divergence over buckets is at most that over tokens; the difference, what is said about the tokens of the tail
one by one, is missed. Of the bundled mentor on its own task, top 16, against the student before training:

    temperature 1     tail  0.9% of the mass     missed  1.0% of the divergence
    temperature 2     tail 22.3%                 missed 12.1%
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tutelage.models import LanguageModel, evaluating
from tutelage.training.batching import Collator, Row
from tutelage.training.last_layer import counted, logits_at

LOOKED_AT = 1024
"""Target tokens, at least, that `look_at` measures."""
AT_ONCE = 1 << 22
"""Numbers of a position times the vocabulary that are sorted together."""


@dataclass(frozen=True)
class Missed:
    """For each k from 1 to the whole vocabulary (V), means over the positions that were looked at."""

    share: Tensor
    """(V) Missed divergence as a share of the whole: KL(mentor‖reference) over tokens less that over the k + 1 buckets,
    divided by the first, each summed over positions. It falls with k, to 0 where all tokens are stored."""
    tail: Tensor
    """(V) Mean mass of the tail."""
    divergence: float
    """The whole, in nats per token."""
    positions: int

    def smallest(self, bound: float) -> int:
        """The smallest k that misses no larger a share than `bound`."""
        return min(1 + int((self.share > bound).sum()), len(self.share))

    def at(self, k: int | None) -> dict[str, Any]:
        """The share at one k, as a manifest has it; None is the whole vocabulary."""
        place = (len(self.share) if k is None else min(k, len(self.share))) - 1
        return {"missed": float(self.share[place]), "divergence": self.divergence, "positions": self.positions}


def look_at(
    lm: LanguageModel, reference: LanguageModel | None, rows: Sequence[Row], *, width: int, temperature: float
) -> Missed:
    """What any top k of a mentor misses against a reference, or against a uniform distribution where that is None.

    Over rows drawn by the hash of their ids, until they have `LOOKED_AT` target tokens. `width` is the number of tokens
    that have a name.
    """
    width = min(width, int(lm.model.get_input_embeddings().weight.shape[0]))
    sums, collate = MissedSums(width, temperature), Collator(lm)
    for row in sorted(rows, key=lambda row: hashlib.blake2b(row.id.encode()).digest()):
        batch = collate([row])
        places_N = counted(batch.pop("labels"))
        del batch["weights"]
        sums.add(_logits_of(lm, batch, places_N), _logits_of(reference, batch, places_N) if reference else None)
        if sums.positions >= LOOKED_AT:
            break
    return sums.result()


def _logits_of(lm: LanguageModel, batch: dict[str, Tensor], places_N: Tensor) -> Tensor:
    inputs = {name: tensor.to(lm.device) for name, tensor in batch.items()}
    with evaluating(lm):
        return logits_at(lm, lm.model, inputs, places_N.to(lm.device))


class MissedSums:
    """Adds up positions, some at a time."""

    def __init__(self, width: int, temperature: float) -> None:
        self.width, self.temperature = width, temperature
        self.missed_V, self.tail_V = (torch.zeros(width, dtype=torch.float64) for _ in range(2))
        self.total, self.positions = 0.0, 0

    def add(self, mentor_NV: Tensor, reference_NV: Tensor | None) -> None:
        """Logits of mentor and reference at the same positions; without a reference all tokens are equally likely."""
        at_once = max(1, AT_ONCE // self.width)
        for start in range(0, len(mentor_NV), at_once):
            part = slice(start, start + at_once)
            self._add(self._log_probs(mentor_NV[part]), self._reference(mentor_NV[part], reference_NV, part))

    def _reference(self, mentor_NV: Tensor, reference_NV: Tensor | None, part: slice) -> Tensor:
        return self._log_probs(torch.zeros_like(mentor_NV) if reference_NV is None else reference_NV[part])

    def _log_probs(self, logits_NV: Tensor) -> Tensor:
        return (logits_NV[:, : self.width].double() / self.temperature).log_softmax(-1)

    def _add(self, log_p_NV: Tensor, log_q_NV: Tensor) -> None:
        log_p_NV, order_NV = log_p_NV.sort(-1, descending=True)
        log_q_NV = log_q_NV.gather(-1, order_NV.to(log_q_NV.device))
        p_NV, q_NV = log_p_NV.exp(), log_q_NV.exp()
        terms_NV = torch.where(p_NV > 0, p_NV * (log_p_NV - log_q_NV), 0.0)
        tail_p_NV, tail_q_NV, behind_NV = (_behind(values_NV) for values_NV in (p_NV, q_NV, terms_NV))
        bucket_NV = torch.where(tail_p_NV > 0, tail_p_NV * (tail_p_NV / tail_q_NV).log(), 0.0)
        self.missed_V += (behind_NV - bucket_NV).clamp(min=0.0).sum(0).cpu()
        self.tail_V += tail_p_NV.sum(0).cpu()
        self.total += float(terms_NV.sum())
        self.positions += len(p_NV)

    def result(self) -> Missed:
        """The means."""
        whole = max(self.total, 1e-12)
        return Missed(self.missed_V / whole, self.tail_V / self.positions, self.total / self.positions, self.positions)


def _behind(values_NV: Tensor) -> Tensor:
    """At each place the sum of what stands behind it."""
    sums_NV = values_NV.flip(-1).cumsum(-1).flip(-1)
    return torch.cat([sums_NV[:, 1:], torch.zeros_like(sums_NV[:, :1])], dim=-1)

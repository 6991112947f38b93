"""Agree with oneself: two rationales of a question should lead the student to the same distribution of answers.

    loss = cross-entropy of all rationales + weight * symmetric KL between the answers behind two of them

    Tova starts with 12. 12 + 5 = 17. --> 17 </s>
    She finds 5 beads, so 5 + 12 = 17. --> 17 </s>
                                           ^^^^^^^

The marked tokens are compared, one by one; the rationales before them may differ as they like.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from tutelage.models import LanguageModel
from tutelage.plugins import resolve
from tutelage.training.batching import Batches, Collator, Row
from tutelage.training.losses import IGNORED, LOSSES, Loss, LossSum
from tutelage.training.objective import Found, Objective
from tutelage.training.settings import Settings

Group = Sequence[Row]


@dataclass(frozen=True)
class FromPairs:
    """Learn to write the targets, and to conclude alike from the two of a pair (MCC-KD, Chen et al. 2023).

    The published trainer (homzer/MCC-KD at 86d263e, src/trainer.py:352) minimises the mean cross-entropy of both texts
    plus α times half the KL each way, averaged over the answer's tokens, with gradient through both. We differ:

     * Every rationale teaches as much as in plain distillation and there are as many updates, so that the two methods
       can be compared: a rationale in two pairs counts half in each, one without a partner stands alone.
     * Padding is masked in the encoder; Mentor-KD's copy of that trainer attends to it.
     * Both distributions have the temperature, not only the one that is learnt from; nothing is added to them.
     * Each term is a mean over its own tokens of the whole epoch, not of a batch, so that the batch size is no weight.
    """

    pairs: tuple[tuple[str, str], ...]
    """Ids of the examples that belong together. Examples in no pair are learnt alone."""
    marker: str
    """What stands before the answer in a target; see `Format.marker`."""
    weight: float = 0.1
    """α, at least 0; 0.1 in train_mcc.py of the published code."""
    temperature: float = 1.0
    """Of both distributions; 1.0 in the published code, 1.3 in Mentor-KD's use of it."""

    def arguments(self) -> dict[str, Any]:
        """See `Teaching.arguments`."""
        pairs = hashlib.sha256(json.dumps(self.pairs).encode()).hexdigest()
        return {"pairs": [pairs, self.marker, self.weight, self.temperature]}

    def prepare(self, lm: LanguageModel, rows: Sequence[Row], settings: Settings) -> Objective:
        """See `Teaching.prepare`."""
        return Pairs(lm, rows, self, settings)


class Pairs:
    """Cross-entropy of all rows, and the consistency of those that stand together."""

    terms: tuple[str, ...] = ("rationale", "consistency")

    def __init__(self, lm: LanguageModel, rows: Sequence[Row], teaching: FromPairs, settings: Settings) -> None:
        self.collator = Collator(lm)
        self.loss: Loss = resolve(settings.loss, LOSSES, "loss")
        self.temperature = teaching.temperature
        by_id = {row.id: row for row in rows}
        found = [(by_id[a], by_id[b]) for a, b in teaching.pairs if a in by_id and b in by_id]
        self.missing = len(teaching.pairs) - len(found)
        """Pairs of which a text did not fit; the other is learnt alone."""
        self.spans = {(a.id, b.id): _common_span(lm, a, b, teaching.marker) for a, b in found}
        """How many of the last tokens of a pair's targets are the answer; 0 where the two differ in them."""
        self.skipped = sum(span == 0 for span in self.spans.values())
        """Pairs whose answers differ in tokens: both are learnt, nothing is compared."""
        compared = sum(self.spans.values())
        tokens = sum(row.weight * len(row.target) for row in rows)
        self.weight = teaching.weight * tokens / compared if compared else 0.0
        """Of one compared token, so that α weighs a mean over those against a mean over all tokens of an epoch."""
        self.notes = {"pairs": self._counts(rows)}
        groups, size = in_batches(_groups(rows, found), _batches(rows, settings))
        self.groups: Sequence[Group] = groups
        self.groups_in_batch: int | None = size

    def _counts(self, rows: Sequence[Row]) -> dict[str, int]:
        """How many pairs were compared and how many were not, and how many questions have no pair at all."""
        question_of = {row.id: row.id.partition("#")[0] for row in rows}
        paired = {question_of[id] for pair in self.spans for id in pair}
        return {
            "used": len(self.spans) - self.skipped,
            "skipped": self.skipped,
            "missing": self.missing,
            "questions_without": len(set(question_of.values()) - paired),
        }

    def collate(self, groups: Sequence[Group]) -> dict[str, Tensor]:
        """Besides the batch: `compared_2S`, places of the two logits that should agree, counted through all rows."""
        rows = [row for group in groups for row in group]
        batch = self.collator(rows)
        labels_BT = batch["labels"]
        width = labels_BT.shape[1]
        ends_B = (labels_BT.ne(IGNORED) * torch.arange(1, width + 1)).amax(-1).tolist()
        compared = [
            [row * width + end - back for row, end in ((at, ends_B[at]), (at + 1, ends_B[at + 1]))]
            for at, span in self._pairs_among(rows)
            for back in range(span, 0, -1)
        ]
        return {**batch, "compared_2S": torch.tensor(compared, dtype=torch.long).view(-1, 2).T.contiguous()}

    def __call__(self, model: Any, batch: dict[str, Tensor]) -> Found:
        """See `Objective.__call__`."""
        labels_BT, weights_B, (first_S, second_S) = (batch.pop(k) for k in ("labels", "weights", "compared_2S"))
        logits_BTV = model(**batch, use_cache=False).logits
        written = self.loss(logits_BTV, labels_BT, weights_B)
        logits_NV = logits_BTV.flatten(0, 1)
        consistency = self.weight * symmetric_kl(logits_NV[first_S], logits_NV[second_S], self.temperature).sum()
        terms = {"rationale": written.sum, "consistency": consistency}
        return Found(LossSum(written.sum + consistency, written.count), terms)

    def _pairs_among(self, rows: Sequence[Row]) -> Iterator[tuple[int, int]]:
        """The place of each pair's first row, the second being next to it, and their common span."""
        at = 0
        while at < len(rows):
            span = self.spans.get((rows[at].id, rows[at + 1].id)) if at + 1 < len(rows) else None
            if span is not None:
                yield at, span
            at += 1 if span is None else 2


def symmetric_kl(a_SV: Tensor, b_SV: Tensor, temperature: float = 1.0) -> Tensor:
    """Half the Kullback-Leibler divergence each way, (S), in nats, computed in float32 where the logits are."""
    log_a_SV, log_b_SV = (F.log_softmax(logits.float() / temperature, -1) for logits in (a_SV, b_SV))
    return 0.5 * ((log_a_SV.exp() - log_b_SV.exp()) * (log_a_SV - log_b_SV)).sum(-1)


def answer_span(lm: LanguageModel, target: Sequence[int], marker: str) -> int:
    """How many of the last tokens of a target stand behind its last marker, end mark included; 0 without a marker.

    A token that spans the marker's end counts as the answer's.
    """
    before, found, _ = lm.text(target).rpartition(marker)
    if not found:
        return 0
    head = lm.target_ids(before + marker)[:-1]
    return len(target) - sum(1 for _ in takewhile(lambda ids: ids[0] == ids[1], zip(head, target, strict=False)))


def in_batches(groups: Sequence[Group], batches: int) -> tuple[list[Group], int]:
    """Groups, and how many of them make a batch, so that there are exactly `batches` of these, or one for each group.

    Where no number divides so, the smallest groups are joined by two to share a batch in every epoch.
    """
    ordered, size = list(groups), math.ceil(len(groups) / batches)
    if len(ordered) <= batches or math.ceil(len(ordered) / size) == batches:
        return ordered, size
    size = len(ordered) // batches
    ordered.sort(key=lambda group: (len(group), *_longest(group), [row.id for row in group]))
    joined = len(ordered) - size * batches
    twos = [[*ordered[2 * at], *ordered[2 * at + 1]] for at in range(joined)]
    return [*twos, *ordered[2 * joined :]], size


def _batches(rows: Sequence[Row], settings: Settings) -> int:
    """How many batches the rows make by themselves."""
    tokens = settings.batch_tokens
    return len(Batches([row.lengths for row in rows], rows=None if tokens else settings.batch_size, tokens=tokens))


def _groups(rows: Sequence[Row], pairs: Sequence[tuple[Row, Row]]) -> list[Group]:
    """Pairs and single rows; the weight of a row is dealt out among its pairs."""
    times = Counter(row.id for pair in pairs for row in pair)
    shared = [tuple(row._replace(weight=row.weight / times[row.id]) for row in pair) for pair in pairs]
    return [*shared, *((row,) for row in rows if row.id not in times)]


def _common_span(lm: LanguageModel, a: Row, b: Row, marker: str) -> int:
    spans = {tuple(row.target[len(row.target) - answer_span(lm, row.target, marker) :]) for row in (a, b)}
    return len(spans.pop()) if len(spans) == 1 else 0


def _longest(group: Group) -> tuple[int, int]:
    return max(len(row.target) for row in group), max(len(row.prompt) for row in group)

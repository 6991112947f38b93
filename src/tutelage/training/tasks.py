"""Several tasks in one student, told apart by the first words of the prompt, each with its share of the loss.

    share 1/2   predict: Tova has 12 beads and finds 5 more. How many has she?  ->  --> 17
    share 1/2   explain: Tova has 12 beads and finds 5 more. How many has she?  ->  Tova starts with 12. 12 + 5 = 17.

Rationales have many more tokens than answers; without shares they would be nearly all of the loss.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tutelage.errors import TextError
from tutelage.models import LanguageModel
from tutelage.plugins import resolve
from tutelage.training.batching import Batches, Collator, Row
from tutelage.training.losses import LOSSES, Loss, LossSum
from tutelage.training.objective import Found, Objective
from tutelage.training.settings import Settings


@dataclass(frozen=True)
class FromTasks:
    """Learn to write the targets of several tasks: loss = sum over tasks of share * mean loss of its tokens.

    Distilling step-by-step (Hsieh et al. 2023), where it is label + λ * rationale; its published code,
    google-research/distilling-step-by-step at ef94426, model_utils.py:61, has α * label + (1 - α) * rationale. As
    there, a batch holds each of its questions in every task. We differ in what a mean is taken over: all tokens of
    a task in an epoch, not those in a batch, so that the batch size is no weight.
    """

    shares: Mapping[str, float]
    """Of the loss, for each task by name; they add up to 1. A task with share 0 is not learnt."""
    task_of: Mapping[str, str]
    """Which task an example belongs to, by its id. Examples of one question stand together; see `Example.id`."""

    def __post_init__(self) -> None:
        if abs(sum(self.shares.values()) - 1) > 1e-9 or min(self.shares.values()) < 0:
            raise ValueError(f"the shares of tasks add up to 1; got {dict(self.shares)}")

    def arguments(self) -> dict[str, Any]:
        """See `Teaching.arguments`."""
        task_of = hashlib.sha256(json.dumps(sorted(self.task_of.items())).encode()).hexdigest()
        return {"tasks": [dict(self.shares), task_of]}

    def prepare(self, lm: LanguageModel, rows: Sequence[Row], settings: Settings) -> Objective:
        """See `Teaching.prepare`. Raises TextError for a task that has a share and no example."""
        return Tasks(lm, rows, self, settings)


class Tasks:
    """One loss over the targets of all tasks, in which each task weighs its share."""

    def __init__(self, lm: LanguageModel, rows: Sequence[Row], teaching: FromTasks, settings: Settings) -> None:
        self.notes: dict[str, Any] = {}
        self.collator = Collator(lm)
        self.loss: Loss = resolve(settings.loss, LOSSES, "loss")
        self.task_of = teaching.task_of
        self.terms = tuple(name for name, share in teaching.shares.items() if share)
        learnt = [row for row in rows if self.task_of[row.id] in self.terms]
        weights = _task_weights(learnt, teaching)
        weighed = [row._replace(weight=row.weight * weights[self.task_of[row.id]]) for row in learnt]
        self.groups: Sequence[Sequence[Row]] = list(_by_question(weighed, self.task_of))
        self.groups_in_batch: int | None = None
        """A question in all tasks is one of the settings' `batch_size`."""
        if settings.batch_tokens:
            batches = Batches([row.lengths for row in learnt], tokens=settings.batch_tokens)
            self.groups_in_batch = max(1, len(self.groups) // len(batches))

    def collate(self, groups: Sequence[Sequence[Row]]) -> dict[str, Tensor]:
        """Besides the batch: the numbers of each task's rows, under its name."""
        rows = [row for group in groups for row in group]
        numbers = {task: [i for i, row in enumerate(rows) if self.task_of[row.id] == task] for task in self.terms}
        return self.collator(rows) | {f"rows of {task}": torch.tensor(found).long() for task, found in numbers.items()}

    def __call__(self, model: Any, batch: dict[str, Tensor]) -> Found:
        """See `Objective.__call__`."""
        labels_BT, weights_B = batch.pop("labels"), batch.pop("weights")
        rows_of = {task: batch.pop(f"rows of {task}") for task in self.terms}
        logits_BTV = model(**batch, use_cache=False).logits
        found = {task: self.loss(logits_BTV[n], labels_BT[n], weights_B[n]) for task, n in rows_of.items()}
        total, count = (torch.stack(sums).sum() for sums in zip(*found.values(), strict=True))
        return Found(LossSum(total, count), {task: loss.sum for task, loss in found.items()})


def _task_weights(rows: Sequence[Row], teaching: FromTasks) -> dict[str, float]:
    """What a row of each task weighs, so that their tokens stand as the shares and count as many as before."""
    tokens = {task: 0.0 for task, share in teaching.shares.items() if share}
    for row in rows:
        tokens[teaching.task_of[row.id]] += row.weight * len(row.target)
    lacking = [task for task, count in tokens.items() if not count]
    if lacking:
        raise TextError(f"no examples of task {lacking[0]!r}, which has a share of the loss. Set its share to 0.")
    return {task: teaching.shares[task] * sum(tokens.values()) / count for task, count in tokens.items()}


def _by_question(rows: Sequence[Row], task_of: Mapping[str, str]) -> Iterator[tuple[Row, ...]]:
    """Each question's rows, one of every task in a group.

    A task with fewer rows than another has them come again with a part of their weight: three rationales stand beside
    the same answer, which counts a third in each group.
    """
    questions: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        questions.setdefault(row.id.partition("#")[0], {}).setdefault(task_of[row.id], []).append(row)
    for tasks in questions.values():
        places = range(max(map(len, tasks.values())))
        groups = [[found[at % len(found)] for found in tasks.values()] for at in places]
        times = Counter(row.id for group in groups for row in group)
        yield from (tuple(row._replace(weight=row.weight / times[row.id]) for row in group) for group in groups)

"""Examples to token ids, token ids to batches, batches to tensors.

Rows of similar length share a batch and are padded to the longest row of that batch only. One row of an encoder-decoder
and one of a causal model:

    Row(id="q-1#teacher#0", prompt=[71, 23, 1], target=[9, 4, 1], weight=1.0)
      encoder-decoder   input_ids [71 23 1]            decoder_input_ids [0 9 4]    labels [9 4 1]
      causal            input_ids [71 23 1 9 4]                                     labels [-100 -100 9 4 1]
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Sampler

from tutelage.models import LanguageModel, cut_prompt, prompt_room
from tutelage.training.losses import IGNORED
from tutelage.types import Example


class Row(NamedTuple):
    """One example as token ids."""

    id: str
    prompt: list[int]
    target: list[int]
    weight: float

    @property
    def lengths(self) -> tuple[int, int]:
        """Prompt and target length in tokens."""
        return len(self.prompt), len(self.target)


class Cuts(NamedTuple):
    """What did not fit."""

    prompts: int
    """Prompts longer than the limit: cut at the front."""
    targets: int
    """Targets longer than the limit: never cut, since a cut target has no answer; the example is left out."""


def tokenize(
    lm: LanguageModel, examples: Sequence[Example], *, max_prompt_tokens: int, max_target_tokens: int
) -> tuple[list[Row], Cuts]:
    """Rows of token ids, and how many texts did not fit.

    Prompts are cut where they will be cut when the student is asked. Raises ModelError where the model has no room for
    texts of `max_target_tokens`; see `prompt_room`.
    """
    room = prompt_room(lm, max_prompt_tokens=max_prompt_tokens, max_target_tokens=max_target_tokens)
    rows: list[Row] = []
    cut_prompts = 0
    for example in examples:
        target = lm.target_ids(example.target)
        if len(target) > max_target_tokens:
            continue
        prompt = lm.prompt_ids(example.prompt)
        limit = len(prompt) if room is None else room
        cut_prompts += len(prompt) > limit
        rows.append(Row(example.id, cut_prompt(lm, prompt, limit), target, example.weight))
    return rows, Cuts(cut_prompts, len(examples) - len(rows))


class Batches(Sampler[list[int]]):
    """Batches of row numbers: similar lengths together, in an order shuffled anew each epoch.

    Every row comes exactly once an epoch, and every epoch has the same number of batches: lengths are rounded up to
    steps of a quarter, and only rows of equal rounded lengths trade places. With several processes each gets its own
    batches, equally many: the largest are halved until that works out. Same seed and epoch, same batches.
    """

    def __init__(
        self,
        lengths: Sequence[tuple[int, int]],
        *,
        rows: int | None = None,
        tokens: int | None = None,
        seed: int = 0,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        """`rows` in a batch, or at most `tokens` padded tokens (one row may be longer); one of the two."""
        if (rows is None) == (tokens is None):
            raise ValueError("give either rows or tokens")
        self.sizes = [(_rounded(prompt), _rounded(target)) for prompt, target in lengths]
        self.rows, self.tokens = rows, tokens
        self.seed, self.epoch = seed, 0
        self.rank, self.processes = rank, processes
        self.count = len(self._split(self._sorted(range(len(self.sizes)))))

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count // self.processes

    def __iter__(self) -> Iterator[list[int]]:
        source = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        shuffled = torch.randperm(len(self.sizes), generator=source).tolist()
        batches = self._split(self._sorted(shuffled))
        order = torch.randperm(len(batches), generator=source).tolist()
        return iter([batches[i] for i in order[self.rank :: self.processes]])

    def _sorted(self, order: Sequence[int]) -> list[int]:
        """By rounded target length, then prompt length; rows of equal sizes stay in the order given.

        Prompts go up in one target length and down in the next, so that a batch across the border stays even.
        """
        targets = {size: place for place, size in enumerate(sorted({target for _, target in self.sizes}))}
        turn = {size: 1 if place % 2 else -1 for size, place in targets.items()}
        return sorted(order, key=lambda i: (self.sizes[i][1], turn[self.sizes[i][1]] * self.sizes[i][0]))

    def _split(self, order: list[int]) -> list[list[int]]:
        batches: list[list[int]] = []
        prompt = target = 0
        for i in order:
            prompt, target = max(prompt, self.sizes[i][0]), max(target, self.sizes[i][1])
            if not batches or self._full(len(batches[-1]) + 1, prompt + target):
                batches.append([])
                prompt, target = self.sizes[i]
            batches[-1].append(i)
        return _evened(batches, self.processes)

    def _full(self, rows: int, width: int) -> bool:
        return rows > self.rows if self.rows else rows * width > (self.tokens or 0)


def _rounded(length: int) -> int:
    """The next of 8, 10, 13, 16, 20, 25, ...: steps of a quarter."""
    return math.ceil(8 * 1.25 ** math.ceil(math.log(max(length, 8) / 8, 1.25) - 1e-9))


def _evened(batches: list[list[int]], processes: int) -> list[list[int]]:
    """Halve the largest batches until their number is a multiple of `processes`; repeat one where that cannot be."""
    while len(batches) % processes:
        place = max(range(len(batches)), key=lambda i: len(batches[i]))
        largest = batches[place]
        half = (len(largest) + 1) // 2
        batches[place : place + 1] = [largest[:half], largest[half:] or largest]
    return batches


class Collator:
    """Rows to tensors, padded on the right to the longest row of the batch.

    For a causal model too: its attention looks back only, so padding behind a row reaches nothing that counts, and
    positions are those of an unpadded row.
    """

    def __init__(self, lm: LanguageModel) -> None:
        self.kind = lm.kind
        self.pad_id = lm.pad_id
        self.start_id = lm.start_id if lm.kind == "encoder-decoder" else 0

    def __call__(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """`labels` stand where the logits stand that should name them, also for a causal model."""
        batch = self._pairs(rows) if self.kind == "encoder-decoder" else self._joined(rows)
        batch["weights"] = torch.tensor([row.weight for row in rows], dtype=torch.float32)
        return batch

    def _pairs(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        return {
            "input_ids": _stack([row.prompt for row in rows], self.pad_id),
            "attention_mask": _stack([[1] * len(row.prompt) for row in rows], 0),
            "decoder_input_ids": _stack([[self.start_id, *row.target[:-1]] for row in rows], self.pad_id),
            "labels": _stack([row.target for row in rows], IGNORED),
        }

    def _joined(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        texts = [row.prompt + row.target[:-1] for row in rows]
        return {
            "input_ids": _stack(texts, self.pad_id),
            "attention_mask": _stack([[1] * len(text) for text in texts], 0),
            "labels": _stack([[IGNORED] * (len(row.prompt) - 1) + row.target for row in rows], IGNORED),
        }


def _stack(rows: list[list[int]], filler: int) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + [filler] * (longest - len(row)) for row in rows])

"""Examples to token ids, token ids to batches, batches to tensors.

What is only read is read in batches of similar length (`Batches`). What is learnt is drawn at random (`RandomBatches`):
batches of one length each teach a worse student. A batch is padded to its own longest row, and where that saves more
than it costs it is processed in parts, each padded by itself (`in_parts`). One row of an encoder-decoder and one
of a causal model:

    Row(id="q-1#teacher#0", prompt=[71, 23, 1], target=[9, 4, 1], weight=1.0)
      encoder-decoder   input_ids [71 23 1]            decoder_input_ids [0 9 4]    labels [9 4 1]
      causal            input_ids [71 23 1 9 4]                                     labels [-100 -100 9 4 1]
"""

from __future__ import annotations

import heapq
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
    """Batches of row numbers: similar lengths together, in an order shuffled anew each epoch. To read, not to learn.

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


class RandomBatches(Sampler[list[int]]):
    """Batches to learn from: the rows of a step are drawn at random, anew each epoch.

    Rows of similar length go together only within a step: among the batches whose gradients are summed before it, on
    all processes, where it changes nothing about the sum. Every row comes exactly once an epoch, every epoch has the
    same number of batches, and each process gets equally many. Same seed and epoch, same batches. Decision 20.
    """

    def __init__(
        self,
        lengths: Sequence[tuple[int, int]],
        *,
        rows: int | None = None,
        tokens: int | None = None,
        accumulate: int = 1,
        seed: int = 0,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        """`rows` in a batch, or at most `tokens` padded tokens where it is read `in_parts`; one of the two.

        With `tokens` each batch has a like share of long and short rows. Several processes cannot work in parts, so
        with `tokens` they are given `Batches` of similar length.
        """
        if (rows is None) == (tokens is None):
            raise ValueError("give either rows or tokens")
        self.lengths, self.rows, self.tokens = lengths, rows, tokens
        self.seed, self.epoch = seed, 0
        self.rank, self.processes, self.accumulate = rank, processes, accumulate
        self.sizes = [_rounded(prompt) + _rounded(target) for prompt, target in lengths]
        own = {"seed": seed, "rank": rank, "processes": processes}
        self.alike = Batches(lengths, tokens=tokens, **own) if tokens and processes > 1 else None
        order = range(len(lengths))
        self.bins = _bins(self.sizes, tokens) if tokens else 0
        self.count = len(self.alike) * processes if self.alike else self.bins or len(self._cut(order))

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count // self.processes

    def __iter__(self) -> Iterator[list[int]]:
        if self.alike:
            self.alike.set_epoch(self.epoch)
            return iter(self.alike)
        source = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        shuffled = torch.randperm(len(self.lengths), generator=source).tolist()
        if self.tokens:
            dealt = _dealt(sorted(shuffled, key=lambda i: -self.sizes[i]), self.sizes, self.bins)
            return iter([dealt[i] for i in torch.randperm(len(dealt), generator=source).tolist()])
        batches = self._cut(shuffled)
        step = self.accumulate * self.processes
        steps = [self._sorted(batches[at : at + step]) for at in range(0, len(batches), step)]
        return iter([batch for batches in steps for batch in batches[self.rank :: self.processes]])

    def _cut(self, order: Sequence[int]) -> list[list[int]]:
        size = self.rows or len(order)
        return _evened([list(order[at : at + size]) for at in range(0, len(order), size)], self.processes)

    def _sorted(self, step: list[list[int]]) -> list[list[int]]:
        """The rows of a step, the shortest first, in batches of the sizes that they came in."""
        order = iter(sorted((i for batch in step for i in batch), key=lambda i: sum(self.lengths[i])))
        return [[next(order) for _ in batch] for batch in step] if len(step) > 1 else step


def _bins(sizes: Sequence[int], tokens: int) -> int:
    """Into how few batches the rows can be dealt so that none exceeds the budget, unless it is of one row."""
    largest_first = sorted(range(len(sizes)), key=lambda i: -sizes[i])
    bins = max(1, min(len(sizes), math.ceil(sum(sizes) / tokens)))
    while any(len(b) > 1 and sum(sizes[i] for i in b) > tokens for b in _dealt(largest_first, sizes, bins)):
        bins += 1
    return bins


def _dealt(order: Sequence[int], sizes: Sequence[int], bins: int) -> list[list[int]]:
    """Rows dealt out, each to the batch that has the least so far: how full they get depends on sizes alone."""
    batches: list[list[int]] = [[] for _ in range(bins)]
    least = [(0, n) for n in range(bins)]
    for i in order:
        filled, n = heapq.heappop(least)
        batches[n].append(i)
        heapq.heappush(least, (filled + sizes[i], n))
    return [batch for batch in batches if batch]


def in_parts(lengths: Sequence[tuple[int, int]], *, overhead: float, budget: int | None = None) -> list[list[int]]:
    """The rows of a batch in parts of similar length, each to be padded by itself: by their places in the batch.

    Of all ways to cut the sorted rows the one with the fewest padded tokens, where each part counts `overhead` tokens
    more: what a further pass of the network costs whatever it reads. Smaller parts are taken where that exceeds a
    `budget` of padded tokens. The sum over the parts is the sum over the batch, so this decides about the time and not
    about what is learnt.
    """
    if budget is None and (overhead == math.inf or len(lengths) < 2):
        return [list(range(len(lengths)))]
    alike: dict[tuple[int, int, int], list[int]] = {}
    for i, (prompt, target) in enumerate(lengths):
        size = _rounded(prompt), _rounded(target)
        alike.setdefault((sum(size), *size), []).append(i)
    groups = [alike[size] for size in sorted(alike)]
    tried = overhead
    while True:
        parts = _cheapest(groups, lengths, tried)
        if budget is None or tried < 1 or sum(_padded(lengths, part) for part in parts) <= budget:
            return parts
        tried = min(tried, 2.0 * budget) / 2


def _cheapest(groups: Sequence[list[int]], lengths: Sequence[tuple[int, int]], overhead: float) -> list[list[int]]:
    """Neighbouring groups put together so that padded tokens, and `overhead` for each part, add up to the least."""
    best: list[tuple[float, int]] = [(0.0, 0)]
    """Cost of the first groups, and where their last part starts."""
    for stop in range(1, len(groups) + 1):
        prompt = target = rows = 0
        found = (math.inf, 0)
        for start in range(stop - 1, -1, -1):
            rows += len(groups[start])
            prompt = max(prompt, *(lengths[i][0] for i in groups[start]))
            target = max(target, *(lengths[i][1] for i in groups[start]))
            found = min(found, (best[start][0] + overhead + rows * (prompt + target), start))
        best.append(found)
    parts: list[list[int]] = []
    stop = len(groups)
    while stop:
        start = best[stop][1]
        parts.append([i for group in groups[start:stop] for i in group])
        stop = start
    return parts[::-1]


def _padded(lengths: Sequence[tuple[int, int]], part: Sequence[int]) -> int:
    return len(part) * (max(lengths[i][0] for i in part) + max(lengths[i][1] for i in part))


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

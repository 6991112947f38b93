"""A layer's logits at some positions, block by block of the vocabulary: read, summed up and learnt from.

With six tokens in blocks of two, of which tokens 1 and 4 are asked for, in one row:

    logits        [2.0  1.0] [0.0  3.0] [1.0  0.0]
    exponentials  [1.0  .37] [.05  1.0] [1.0  .37]     against the largest logit of the block
    numbers       lse 3.57, picked [1.0 1.0], label 3.0 (and, with a tail, lse of the other four)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from tutelage.training.divergences import TINY

BLOCK, HALF_BLOCK = 1 << 18, 1 << 20
"""Numbers in a block on a CPU: 1 MB stays in a core's cache from its product to its sums. Products in half precision
are so quick that smaller blocks cost more in calls than they save."""


@dataclass(frozen=True)
class Asked:
    """What is wanted of the student's distributions at N positions."""

    labels: Tensor
    """(N) Tokens, at temperature 1."""
    ids: Tensor
    """(N, K) Stored tokens, below `width`; with `tail` those of a row differ from each other."""
    temperature: float
    width: int
    """Tokens that have a name; the layer may have more columns."""
    tail: bool
    """Whether all other tokens are a bucket too."""

    def __getitem__(self, part: slice) -> Asked:
        """The same at some of the positions."""
        return replace(self, labels=self.labels[part], ids=self.ids[part])


class Numbers(NamedTuple):
    """All that a loss needs of the logits, or its gradients by these."""

    lse: Tensor
    """(N) Log-sum-exp of all columns."""
    lse_tau: Tensor
    """(N) Of the tokens, divided by the temperature."""
    tail: Tensor | None
    """(N) Of the tokens that are not stored, divided by the temperature."""
    picked: Tensor
    """(N, K) Logits of stored tokens."""
    label: Tensor
    """(N) Logits of labels."""


class Positions:
    """The exponentials of some positions, and what was read on the way.

    A block holds exp((z - top) / hot), z being logits, top a row's largest in the block and hot the temperature or 1,
    whichever is more. So both softmaxes, at the temperature and at 1, are that or a power of it, and neither overflows.
    Sums are in float32 whatever the precision of the layer.
    """

    def __init__(self, hidden_NH: Tensor, weight_VH: Tensor, asked: Asked) -> None:
        self.hidden_NH, self.weight_VH, self.asked, self.tau = hidden_NH, weight_VH, asked, asked.temperature
        self.power = max(self.tau, 1 / self.tau)
        """What a block is raised to for the softmax that it is not itself."""
        self.columns = list(_columns(hidden_NH, len(weight_VH), asked.width))
        self.places = _Places(asked.ids, asked.width, self.columns[0].stop)
        sizes = [len(hidden_NH) * (columns.stop - columns.start) for columns in self.columns]
        room = torch.empty(sum(sizes), dtype=wide(hidden_NH.dtype), device=hidden_NH.device)
        self.blocks = [block.view(len(hidden_NH), -1) for block in room.split(sizes)]
        read = [self._fill(number) for number in range(len(self.blocks))]
        tops_CN, sums_CN, raised_CN = (torch.stack([getattr(r, name) for r in read]) for name in _Read._fields[:3])
        at_tau_CN, at_1_CN = (sums_CN, raised_CN) if self.tau >= 1 else (raised_CN, sums_CN)
        picked_NK = self.places.in_order([r.picked for r in read])
        apart_NK, tokens = picked_NK if asked.tail else None, slice(self.places.blocks)
        self.tops_CN = tops_CN
        self.numbers = Numbers(
            _log_sum(tops_CN, at_1_CN, apart_NK, 1.0),
            _log_sum(tops_CN[tokens], at_tau_CN[tokens], apart_NK, self.tau),
            _log_sum(tops_CN[tokens], at_tau_CN[tokens], None, self.tau) if asked.tail else None,
            picked_NK,
            (hidden_NH.to(room.dtype) * weight_VH[asked.labels]).sum(-1),
        )

    def _fill(self, number: int) -> _Read:
        """Make the exponentials of one block. With a tail stored tokens become zero: they are dealt with apart."""
        block_NC = self.blocks[number]
        _product(self.hidden_NH, self.weight_VH[self.columns[number]].T, block_NC)
        picked, top_N = self.places.read(number, block_NC), block_NC.amax(-1)
        block_NC.sub_(top_N[:, None])
        if self.tau > 1:
            block_NC.mul_(1 / self.tau)
        block_NC.exp_()
        if self.asked.tail:
            self.places.clear(number, block_NC)
        sum_N = block_NC.sum(-1)
        return _Read(top_N, sum_N, sum_N if self.power == 1 else _raised(block_NC, self.power).sum(-1), picked)

    def learn(self, given: Numbers, to_hidden_NH: Tensor | None, to_weight_VH: Tensor | None) -> None:
        """Add to the gradients by hidden states and weights, from the gradients by `numbers`."""
        plain_CN, raised_CN, dealt = self._factors(given)
        scratch = torch.empty_like(self.blocks[0])
        for number, (columns, block_NC) in enumerate(zip(self.columns, self.blocks, strict=True)):
            into = scratch if block_NC.shape == scratch.shape else torch.empty_like(block_NC)
            gradient_NC = torch.mul(block_NC, plain_CN[number, :, None], out=into)
            if raised_CN is not None:
                gradient_NC.addcmul_(_raised(block_NC, self.power), raised_CN[number, :, None])
            self.places.add(number, gradient_NC, dealt)
            gradient_NC = gradient_NC.to(self.hidden_NH.dtype)
            if to_hidden_NH is not None:
                _add_product(to_hidden_NH, gradient_NC, self.weight_VH[columns])
            if to_weight_VH is not None:
                _add_product(to_weight_VH[columns], gradient_NC.T, self.hidden_NH)
        if to_hidden_NH is not None:
            to_hidden_NH.add_(given.label[:, None] * self.weight_VH[self.asked.labels])
        if to_weight_VH is not None:
            to_weight_VH.index_add_(0, self.asked.labels, given.label[:, None] * self.hidden_NH)

    def _factors(self, given: Numbers) -> tuple[Tensor, Tensor | None, Sequence[Tensor]]:
        """What a block and its power are multiplied by to be gradients, and what is added at the stored tokens."""
        tops_CN, tops_tau_CN, tokens = self.tops_CN, self.tops_CN / self.tau, self.places.blocks
        to_tau_N, to_picked_NK = given.lse_tau / self.tau, given.picked
        at_1_CN = (tops_CN - self.numbers.lse).exp() * given.lse
        at_tau_CN = (tops_tau_CN - self.numbers.lse_tau).exp() * to_tau_N
        if self.numbers.tail is not None and given.tail is not None:
            at_tau_CN = at_tau_CN + (tops_tau_CN - self.numbers.tail).exp() * (given.tail / self.tau)
            picked_NK = self.numbers.picked
            shares_NK = (picked_NK - self.numbers.lse[:, None]).exp() * given.lse[:, None]
            shares_tau_NK = (picked_NK / self.tau - self.numbers.lse_tau[:, None]).exp() * to_tau_N[:, None]
            to_picked_NK = to_picked_NK + shares_NK + shares_tau_NK
        at_tau_CN[tokens:] = 0.0
        plain_CN, raised_CN = (at_tau_CN, at_1_CN) if self.tau >= 1 else (at_1_CN, at_tau_CN)
        if self.power == 1:
            plain_CN, raised_CN = plain_CN + raised_CN, None
        return plain_CN, raised_CN, self.places.dealt(to_picked_NK)


class _Read(NamedTuple):
    """What was read of a block."""

    top: Tensor
    """(N) The largest logit."""
    sum: Tensor
    """(N) Of the exponentials."""
    raised: Tensor
    """(N) Of their powers."""
    picked: Tensor
    """Logits of stored tokens in it."""


class _Places:
    """Where stored tokens stand in the blocks."""

    def __init__(self, ids_NK: Tensor, width: int, step: int) -> None:
        self.shape, self.blocks = ids_NK.shape, math.ceil(width / step)
        """How many blocks hold tokens; what comes behind them has no name."""
        block_NK = ids_NK // step
        widths_NK = (width - block_NK * step).clamp(max=step)
        rows_N1 = torch.arange(len(ids_NK), device=ids_NK.device)[:, None]
        places = (rows_N1 * widths_NK + ids_NK - block_NK * step).flatten()
        self.order: Tensor | None = None
        """That sorts them by block, where there are several: on a GPU counting them would wait for it."""
        self.at: Sequence[Tensor] = [places]
        if self.blocks > 1:
            self.order = block_NK.flatten().argsort()
            counts = torch.bincount(block_NK.flatten(), minlength=self.blocks)
            self.at = places[self.order].split(counts.tolist())

    def read(self, number: int, block_NC: Tensor) -> Tensor:
        """What stands there in one block."""
        return block_NC.view(-1).take(self.at[number]) if number < self.blocks else block_NC.new_empty(0)

    def clear(self, number: int, block_NC: Tensor) -> None:
        """Write zeros there."""
        if number < self.blocks:
            block_NC.view(-1).index_fill_(0, self.at[number], 0.0)

    def dealt(self, values_NK: Tensor) -> Sequence[Tensor]:
        """Values for these places, those of each block together."""
        values = values_NK.flatten()
        return [values] if self.order is None else values[self.order].split([len(at) for at in self.at])

    def add(self, number: int, block_NC: Tensor, dealt: Sequence[Tensor]) -> None:
        """Add one block's values there."""
        if number < self.blocks:
            block_NC.view(-1).put_(self.at[number], dealt[number], accumulate=True)

    def in_order(self, read: Sequence[Tensor]) -> Tensor:
        """What was read of all blocks, (N, K)."""
        values = torch.cat(list(read))
        if self.order is not None:
            values = torch.empty_like(values).index_copy_(0, self.order, values)
        return values.view(self.shape)


def _columns(hidden_NH: Tensor, columns: int, width: int) -> Iterator[slice]:
    """Blocks of the vocabulary: small on a CPU, elsewhere one. Columns without a name stand apart."""
    numbers = BLOCK if wide(hidden_NH.dtype) == hidden_NH.dtype else HALF_BLOCK
    small = max(64, numbers // len(hidden_NH) // 64 * 64)
    step = min(width, small) if hidden_NH.device.type == "cpu" else width
    for start in range(0, width, step):
        yield slice(start, min(start + step, width))
    if columns > width:
        yield slice(width, columns)


def _log_sum(tops_CN: Tensor, sums_CN: Tensor, apart_NK: Tensor | None, tau: float) -> Tensor:
    """Log of sum of exp(z / tau), from each block's largest z and its sum, and tokens that are not in the sums."""
    top_N = tops_CN.amax(0)
    total_N = (sums_CN * ((tops_CN - top_N) / tau).exp()).sum(0)
    if apart_NK is not None:
        total_N = total_N + ((apart_NK - top_N[:, None]) / tau).exp().sum(-1)
    return top_N / tau + total_N.clamp(min=TINY).log()


def _raised(block_NC: Tensor, power: float) -> Tensor:
    return block_NC.square() if power == 2 else block_NC.pow(power)


def wide(dtype: torch.dtype) -> torch.dtype:
    """The precision of sums: at least float32."""
    return torch.promote_types(dtype, torch.float32)


def _product(a: Tensor, b: Tensor, into: Tensor) -> None:
    if into.dtype == a.dtype:
        torch.mm(a, b, out=into)
    else:
        into.copy_(a @ b)


def _add_product(into: Tensor, a: Tensor, b: Tensor) -> None:
    if into.dtype == a.dtype:
        into.addmm_(a, b)
    else:
        into.add_(a @ b)

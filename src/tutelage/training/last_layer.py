"""Learning through a network's last layer without its logits: a block of the vocabulary at a time.

The last layer is most of a small student: 805 tokens of a batch times 32,128 tokens of the vocabulary are 103 MB of
logits, as many of softmax, as many of gradient, and each pass over them waits for memory. A loss of `divergences` needs
little of them: log-sum-exps, and the logits of labels and stored tokens. So here

    forward    for each block of columns, while it is in the processor's cache: logits, exp(logits - their maximum),
               sums of that, and the logits that were asked for; then the loss, and its gradient by those few numbers;
               then for each block again the gradient by its logits (a multiple of the exponentials), which goes into
               the gradients by hidden states and weights at once
    backward   those two gradients, times a number

What is kept for the backward pass is as large as hidden states and weights. The work on blocks is in `blocks`; why it
is done so, in docs/decisions/0012.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tutelage.models import LanguageModel, evaluating, output_layer_input
from tutelage.training.blocks import Asked, Numbers, Positions, wide
from tutelage.training.divergences import Student, student_of
from tutelage.training.losses import IGNORED

T = TypeVar("T")
Judge: TypeAlias = Callable[[Student, slice], Tensor]
"""f(what the student says at some positions, which of all these are) -> terms (M) of the loss, summed over them."""

LOGITS_AT_ONCE = {"cpu": 1 << 25, "gpu": 1 << 26}
"""Numbers in the one large buffer: 128 MB on a CPU, 256 MB on a GPU, where as much again is scratch. Positions beyond
it come in a second round."""


def learn_through(layer: torch.nn.Linear, hidden_NH: Tensor, asked: Asked, judge: Judge) -> tuple[Tensor, Tensor]:
    """The sum of all terms, and the terms (M), for what the layer makes of hidden states.

    Gradients of the sum are worked out at once and cost nothing more going back. Those of single terms are worked out
    when they are asked for.
    """
    weight_VH, device = layer.weight, hidden_NH.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight_VH.dtype
    learns = torch.is_grad_enabled()
    needed = (learns and hidden_NH.requires_grad, learns and weight_VH.requires_grad)
    return _Through.apply(hidden_NH, weight_VH, _Work(asked, judge, dtype, needed))  # pyright: ignore


def is_plain(lm: LanguageModel) -> bool:
    """Whether the network's logits are nothing but a matrix times its last hidden states.

    Some networks add to them, or scale or bend them (Gemma 2, Cohere). What they make of a few tokens tells.
    """
    layer = lm.model.get_output_embeddings()
    if type(layer) is not torch.nn.Linear or layer.bias is not None:
        return False
    given: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _, __, logits: given.append(logits.clone()))
    tokens_1T = torch.linspace(0, len(layer.weight) - 1, 5, device=lm.device).long()[None]
    decoder = {"decoder_input_ids": tokens_1T} if lm.kind == "encoder-decoder" else {}
    try:
        with evaluating(lm):
            logits = lm.model(input_ids=tokens_1T, use_cache=False, **decoder).logits
    finally:
        hook.remove()
    return len(given) == 1 and torch.equal(logits, given[0])


class _Through(torch.autograd.Function):
    """`work` does everything; here it is put between hidden states, weights and the loss."""

    @staticmethod
    def forward(ctx: Any, hidden_NH: Tensor, weight_VH: Tensor, work: _Work) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(hidden_NH, weight_VH)
        ctx.set_materialize_grads(False)
        ctx.work, ctx.found = work, work(hidden_NH, weight_VH)
        return ctx.found.terms.sum(), ctx.found.terms

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_sum: Tensor | None, to_terms_M: Tensor | None) -> tuple[Tensor | None, ...]:
        """Whoever asks for the sum's gradient a second time has it worked out again: the first was changed in place."""
        if to_sum is None and to_terms_M is None:
            return None, None, None
        found, ctx.found = (ctx.found, None) if to_terms_M is None else (None, ctx.found)
        if found is None:
            shares_M = (0.0 if to_sum is None else to_sum) + (0.0 if to_terms_M is None else to_terms_M)
            found, to_sum = ctx.work(*ctx.saved_tensors, shares_M), None
        gradients = (found.to_hidden, found.to_weight)
        if to_sum is not None:
            gradients = tuple(None if gradient is None else gradient.mul_(to_sum) for gradient in gradients)
        return *gradients, None


class _Found(NamedTuple):
    terms: Tensor
    """(M)"""
    to_hidden: Tensor | None
    """(N, H)"""
    to_weight: Tensor | None
    """(V, H)"""


@dataclass(frozen=True)
class _Work:
    asked: Asked
    judge: Judge
    dtype: torch.dtype
    """Of the products."""
    needed: tuple[bool, bool]
    """Whether gradients are: by hidden states, by weights."""

    def __call__(self, hidden_NH: Tensor, weight_VH: Tensor, shares_M: Any = 1.0) -> _Found:
        """Terms of the loss, and the gradients of `shares_M` times them."""
        to_hidden_NH, to_weight_VH = (
            torch.zeros_like(tensor, dtype=wide(self.dtype)) if needed else None
            for tensor, needed in zip((hidden_NH, weight_VH), self.needed, strict=True)
        )
        terms: list[Tensor] = []
        with torch.autocast(hidden_NH.device.type, enabled=False):
            hidden, weight = hidden_NH.detach().to(self.dtype), weight_VH.detach().to(self.dtype)
            for part in _parts(hidden, len(weight)):
                some = Positions(hidden[part], weight, self.asked[part])
                terms_M, gradients = self._judged(some, part, shares_M)
                terms.append(terms_M)
                if any(self.needed):
                    some.learn(gradients, None if to_hidden_NH is None else to_hidden_NH[part], to_weight_VH)
        return _Found(
            torch.stack(terms or [self._of_none()]).sum(0),
            None if to_hidden_NH is None else to_hidden_NH.to(hidden_NH.dtype),
            None if to_weight_VH is None else to_weight_VH.to(weight_VH.dtype),
        )

    def _judged(self, some: Positions, part: slice, shares_M: Any) -> tuple[Tensor, Numbers]:
        """The terms, and the gradient of `shares_M` times them by the few numbers that they are worked out from."""
        leaves = Numbers(*(None if t is None else t.detach().requires_grad_() for t in some.numbers))  # pyright: ignore
        with torch.enable_grad():
            terms_M = self.judge(student_of(*leaves, temperature=self.asked.temperature), part)
            loss = (terms_M * shares_M).sum()
            loss = loss + sum(0.0 * leaf.sum() for leaf in leaves if leaf is not None)
        found = iter(torch.autograd.grad(loss, [leaf for leaf in leaves if leaf is not None]))
        return terms_M.detach(), Numbers(*(None if leaf is None else next(found) for leaf in leaves))  # pyright: ignore

    def _of_none(self) -> Tensor:
        """The terms of no positions: only the judge knows how many there are."""
        picked_0K = torch.empty_like(self.asked.ids, dtype=wide(self.dtype))
        none = picked_0K[:, 0]
        numbers = Numbers(none, none, none if self.asked.tail else None, picked_0K, none)
        return self.judge(student_of(*numbers, temperature=self.asked.temperature), slice(0, 0))


def _parts(hidden_NH: Tensor, width: int) -> Iterator[slice]:
    """Positions that are worked on together: all, or even parts of them. No parts of none."""
    count = len(hidden_NH)
    most = max(1, LOGITS_AT_ONCE["cpu" if hidden_NH.device.type == "cpu" else "gpu"] // width)
    size = math.ceil(count / max(1, math.ceil(count / most))) or 1
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


# Logits where they count


def counted(labels_BT: Tensor) -> Tensor:
    """Where in the flattened batch the labels that count stand: row by row, each row's target in its order."""
    return labels_BT.flatten().ne(IGNORED).nonzero().squeeze(-1)


def logits_at(lm: LanguageModel, model: Any, inputs: dict[str, Tensor], places_N: Tensor, **asked: Any) -> Tensor:
    """Logits at these places of the flattened batch. See `written_at`."""
    return written_at(lm, model, inputs, places_N, **asked).logits


def written_at(lm: LanguageModel, model: Any, inputs: dict[str, Tensor], places_N: Tensor, **asked: Any) -> Any:
    """What the network gives for a batch, with `logits` (N, V) at these places only.

    The others never pass its last layer: for prompts and padding nothing as wide as the vocabulary is made. `model` is
    `lm.model`, or what a Trainer has wrapped around it.
    """
    with output_layer_input(lm, lambda hidden_BTH: hidden_BTH.flatten(0, 1)[places_N]):
        written = model(**inputs, use_cache=False, **asked)
    if written.logits.dim() == 3:  # a network whose last layer is no module, or not the last
        written.logits = written.logits.flatten(0, 1)[places_N]
    return written


def before_last_layer(
    lm: LanguageModel, model: Any, inputs: dict[str, Tensor], places_N: Tensor, use: Callable[[Any, Tensor], T]
) -> T:
    """What `use` makes of the last layer and of what it is given at these places (N, H); its own work is left out.

    It is called from within the network's forward pass: where weights are sharded, there they are whole.
    """
    found: list[T] = []
    layer = lm.model.get_output_embeddings()

    def instead(hidden_BTH: Tensor) -> Tensor:
        found.append(use(layer, hidden_BTH.flatten(0, 1)[places_N]))
        return hidden_BTH[:0]

    with output_layer_input(lm, instead):
        model(**inputs, use_cache=False)
    return found[0]


def vocabulary_width(lm: LanguageModel) -> int:
    """One more than the largest id that names a token. Networks are often wider; what is past it means nothing."""
    return max(lm.tokenizer.get_vocab().values()) + 1

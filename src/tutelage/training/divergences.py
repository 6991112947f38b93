"""How far a student's distribution is from its mentor's, over the same buckets, in nats.

A bucket is a token, or all tokens that a cache did not store (the tail). With the mentor's two likeliest tokens stored:

    mentor   token 17: .70   token 4: .20   the rest: .10      log_p [-0.36 -1.61 -2.30]
    student  token 17: .50   token 4: .30   the rest: .20      log_q [-0.69 -1.20 -1.61]
    kl = .70 ln(.70/.50) + .20 ln(.20/.30) + .10 ln(.10/.20) = 0.085

A live mentor's distribution has a bucket for each token. Either way a divergence is f(log_p_NK, log_q_NK) -> loss_N.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.autograd.function import once_differentiable

Divergence: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""f(log_p_NK of the mentor, log_q_NK of the student) -> loss_N in nats."""

TINY = 1e-30
"""The least mass of a student's tail before scaling: its logarithm must stay finite."""


def kl(log_p_NK: Tensor, log_q_NK: Tensor) -> Tensor:
    """KL(mentor‖student), the divergence of Mentor-KD (Eq. 5). A bucket that the mentor rules out costs nothing."""
    return _relative_entropy(log_p_NK, log_q_NK)


def reverse_kl(log_p_NK: Tensor, log_q_NK: Tensor) -> Tensor:
    """KL(student‖mentor): punishes what the mentor would not write, forgives what the student leaves out.

    A bucket that the mentor rules out counts for nothing, though its term is infinite: one step must not end in inf.
    """
    return _relative_entropy(log_q_NK, log_p_NK)


def jsd(log_p_NK: Tensor, log_q_NK: Tensor) -> Tensor:
    """Generalised Jensen-Shannon divergence at beta 0.5 (GKD, Agarwal et al. 2024, Eq. 1): at most ln 2."""
    neither = log_p_NK.isneginf() & log_q_NK.isneginf()
    mixed = torch.logaddexp(log_p_NK.masked_fill(neither, 0.0), log_q_NK.masked_fill(neither, 0.0)) - math.log(2)
    return (_relative_entropy(log_p_NK, mixed) + _relative_entropy(log_q_NK, mixed)) / 2


def soft_cross_entropy(log_p_NK: Tensor, log_q_NK: Tensor) -> Tensor:
    """Cross-entropy on the mentor's distribution: `kl` plus the mentor's entropy, so the same gradient."""
    return -_expected(log_p_NK, log_q_NK)


DIVERGENCES: dict[str, Divergence] = {
    "kl": kl,
    "reverse-kl": reverse_kl,
    "jsd": jsd,
    "soft-cross-entropy": soft_cross_entropy,
}
UNBIASED_WITH_DRAWS = ("kl", "soft-cross-entropy")
"""Linear in the mentor's probabilities, as far as the student can change them; only such a loss may see draws."""


def mean_squares(mentor_NH: Tensor, student_NH: Tensor) -> Tensor:
    """Mean squared difference over the last dimension: of raw logits, or of hidden states. Not in nats."""
    return (mentor_NH - student_NH).square().mean(-1)


def _relative_entropy(log_a_NK: Tensor, log_b_NK: Tensor) -> Tensor:
    """Sum of a (log a - log b) over the buckets that neither rules out."""
    empty = log_a_NK.isneginf() | log_b_NK.isneginf()
    log_a, log_b = log_a_NK.masked_fill(empty, 0.0), log_b_NK.masked_fill(empty, 0.0)
    return (log_a.exp() * (log_a - log_b)).sum(-1)


def _expected(log_a_NK: Tensor, value_NK: Tensor) -> Tensor:
    """Mean of the values under a; a value of infinite size counts only where a is more than zero."""
    empty = log_a_NK.isneginf()
    return (log_a_NK.exp() * value_NK.masked_fill(empty, 0.0)).sum(-1)


def nll(logits_NV: Tensor, labels_N: Tensor) -> Tensor:
    """Negative log-likelihood of each label, in float32 whatever the precision of the logits."""
    return F.cross_entropy(logits_NV.to(_wide(logits_NV)), labels_N, reduction="none")


class Student(NamedTuple):
    """What the loss needs of a student's logits."""

    nll: Tensor
    """(N) Negative log-likelihood of the labels, over the network's whole width, at temperature 1."""
    log_q: Tensor
    """(N, K) Its log-probabilities over the mentor's buckets, at the temperature asked for."""


def over_tokens(logits_NV: Tensor, labels_N: Tensor, *, temperature: float, width: int) -> Student:
    """A bucket for each of the first `width` tokens. Networks pad their vocabulary; ids past it name no token."""
    log_q_NV = (logits_NV[:, :width].to(_wide(logits_NV)) / temperature).log_softmax(-1)
    return Student(nll(logits_NV, labels_N), log_q_NV)


def over_stored(
    logits_NV: Tensor, labels_N: Tensor, ids_NK: Tensor, *, temperature: float, width: int, tail: bool
) -> Student:
    """A bucket for each stored token, in the order of `ids_NK`, and with `tail` one for all other tokens at the end.

    With `tail` the ids of a row differ from each other. Nothing as wide as the vocabulary is made besides a small
    scratch and, going back, the gradient itself. Sums are in float32 whatever the precision of the logits.
    """
    found = _Picked.apply(logits_NV, ids_NK, labels_N, temperature, width, tail)
    return student_of(*found, temperature=temperature)  # pyright: ignore


def student_of(
    lse_N: Tensor, lse_tau_N: Tensor, tail_N: Tensor | None, picked_NK: Tensor, label_N: Tensor, temperature: float
) -> Student:
    """From raw logits of stored tokens and labels, log-sum-exps at 1 and at the temperature, and that of the tail."""
    columns = [picked_NK / temperature, *([] if tail_N is None else [tail_N[:, None]])]
    return Student(lse_N - label_N, torch.cat(columns, dim=-1) - lse_tau_N[:, None])


class _Picked(torch.autograd.Function):
    """Log-sum-exps and picked logits of each position; going back, softmax times a number, corrected at the picks.

    All comes from exp(logits / temperature), taken once each way. At temperature 1 it serves both log-sum-exps; at 2
    its square is exp(logits), for a tenth of the cost of another exp; at any other a second exp is taken.
    """

    @staticmethod
    def forward(
        ctx: Any, logits_NV: Tensor, ids_NK: Tensor, labels_N: Tensor, temperature: float, width: int, tail: bool
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor, Tensor]:
        """`lse_N` (temperature 1, all columns), `lse_tau_N` and `tail_N` (of z/temperature), the picked raw logits."""
        wide = _wide(logits_NV)
        lse_N, lse_tau_N, tail_N = (torch.empty_like(labels_N, dtype=wide) for _ in range(3))
        for part, scratch in _parts(logits_NV):
            z = logits_NV[part].to(wide)
            top = z.amax(-1, keepdim=True)
            top_1 = top.squeeze(-1)
            e = torch.sub(z, top, out=scratch).mul_(1 / temperature).exp_()
            total = e[:, :width].sum(-1)
            if temperature == 1.0:
                whole = total + e[:, width:].sum(-1)
            elif temperature == 2.0:
                whole = torch.linalg.vecdot(e, e)
            else:
                whole = torch.sub(z, top).exp_().sum(-1)
            lse_N[part] = top_1 + whole.log()
            lse_tau_N[part] = top_1 / temperature + total.log()
            if tail:
                rest = e[:, :width].scatter_(1, ids_NK[part], 0.0).sum(-1)
                tail_N[part] = top_1 / temperature + rest.clamp_(min=TINY).log_()
        ctx.save_for_backward(logits_NV, ids_NK, labels_N, lse_N, lse_tau_N, tail_N)
        ctx.temperature, ctx.width, ctx.tail = temperature, width, tail
        ctx.set_materialize_grads(False)
        picked_NK = logits_NV.gather(1, ids_NK).to(wide)
        label_N = logits_NV.gather(1, labels_N[:, None]).squeeze(-1).to(wide)
        return lse_N, lse_tau_N, tail_N if tail else None, picked_NK, label_N

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,
        to_lse_N: Tensor | None,
        to_tau_N: Tensor | None,
        to_tail_N: Tensor | None,
        to_picked_NK: Tensor | None,
        to_label_N: Tensor | None,
    ) -> tuple[Tensor | None, ...]:
        """One buffer as large as the logits, filled part by part while it is in the processor's cache."""
        logits_NV, ids_NK, labels_N, lse_N, lse_tau_N, tail_N = ctx.saved_tensors
        wide, tau, width = lse_N.dtype, ctx.temperature, ctx.width
        gradient_NV = torch.empty_like(logits_NV)
        to_lse_N = torch.zeros_like(lse_N) if to_lse_N is None else to_lse_N
        to_tau_N = torch.zeros_like(lse_N) if to_tau_N is None else to_tau_N
        to_picked_NK = torch.zeros_like(ids_NK, dtype=wide) if to_picked_NK is None else to_picked_NK
        soft_at_1 = tau == 1.0
        """Whether one exp(logits) serves both: the softmax over the tokens is then a multiple of that over all."""
        base_N = (to_lse_N + to_tau_N * (lse_N - lse_tau_N).exp()) if soft_at_1 else to_tau_N / tau
        all_N = base_N
        if to_tail_N is not None:
            all_N = base_N + to_tail_N * ((lse_N if soft_at_1 else lse_tau_N) - tail_N).exp() / tau
        for part, scratch in _parts(logits_NV):
            z, ids = logits_NV[part].to(wide), ids_NK[part]
            e = gradient_NV[part] if gradient_NV.dtype == wide else scratch
            lse = (lse_N if soft_at_1 else lse_tau_N)[part, None]
            torch.add(-lse, z, alpha=1 / tau, out=e).exp_()
            tokens, at_1 = e[:, :width], None
            if tau == 2.0:
                at_1 = e.square().mul_((to_lse_N * (2 * lse_tau_N - lse_N).exp())[part, None])
            if to_tail_N is None:
                tokens.mul_(all_N[part, None]).scatter_add_(1, ids, to_picked_NK[part])
            else:
                # Overwritten, not corrected: a tail of little mass has a huge factor, which would not cancel.
                picks = tokens.gather(1, ids) * base_N[part, None] + to_picked_NK[part]
                tokens.mul_(all_N[part, None]).scatter_(1, ids, picks)
            e[:, width:].mul_(to_lse_N[part, None] if soft_at_1 else 0.0)
            if at_1 is not None:
                e.add_(at_1)
            elif not soft_at_1:
                e.add_(torch.sub(z, lse_N[part, None]).exp_().mul_(to_lse_N[part, None]))
            if to_label_N is not None:
                e.scatter_add_(1, labels_N[part, None], to_label_N[part, None])
            if e is scratch:
                gradient_NV[part] = e
        return gradient_NV, None, None, None, None, None


def _wide(logits: Tensor) -> torch.dtype:
    return torch.promote_types(logits.dtype, torch.float32)


def _parts(logits_NV: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Some positions at a time, with a scratch for them: small enough for a CPU's cache, large enough for a GPU."""
    positions, width = logits_NV.shape
    size = max(1, (1 << 19 if logits_NV.device.type == "cpu" else 1 << 26) // width)
    scratch = torch.empty(min(size, positions), width, dtype=_wide(logits_NV), device=logits_NV.device)
    for start in range(0, positions, size):
        stop = min(start + size, positions)
        yield slice(start, stop), scratch[: stop - start]

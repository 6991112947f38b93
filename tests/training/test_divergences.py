"""Divergences over buckets, and what a student's logits give without a softmax over the vocabulary."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tutelage.training.divergences import (
    DIVERGENCES,
    Student,
    _Picked,
    mean_squares,
    nll,
    over_stored,
    over_tokens,
)

NEVER = -math.inf
NAMES = sorted(DIVERGENCES)


def logs(*shares: float) -> Tensor:
    return torch.tensor([[math.log(share) if share else NEVER for share in shares]], dtype=torch.float64)


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # p = (1/2, 1/4, 1/4), q = (1/4, 1/4, 1/2), m = (3/8, 1/4, 3/8)
        ("kl", 0.5 * math.log(2) + 0.25 * math.log(1 / 2)),
        ("reverse-kl", 0.25 * math.log(1 / 2) + 0.5 * math.log(2)),
        ("jsd", 0.5 * math.log(4 / 3) + 0.25 * math.log(2 / 3)),
        ("soft-cross-entropy", 0.5 * math.log(4) + 0.25 * math.log(4) + 0.25 * math.log(2)),
    ],
)
def test_equals_a_hand_calculation(name: str, expected: float):
    """Everything else is built on these numbers."""
    found = DIVERGENCES[name](logs(0.5, 0.25, 0.25), logs(0.25, 0.25, 0.5))
    assert found.tolist() == pytest.approx([expected], rel=1e-12)


def test_directions_differ():
    """Forward and reverse KL swapped would pass every symmetric example."""
    mentor, student = logs(0.7, 0.2, 0.1), logs(0.5, 0.3, 0.2)
    forward = 0.7 * math.log(7 / 5) + 0.2 * math.log(2 / 3) + 0.1 * math.log(1 / 2)
    reverse = 0.5 * math.log(5 / 7) + 0.3 * math.log(3 / 2) + 0.2 * math.log(2)
    assert float(DIVERGENCES["kl"](mentor, student)) == pytest.approx(forward)
    assert float(DIVERGENCES["reverse-kl"](mentor, student)) == pytest.approx(reverse)
    assert float(DIVERGENCES["soft-cross-entropy"](mentor, student)) == pytest.approx(
        -0.7 * math.log(0.5) - 0.2 * math.log(0.3) - 0.1 * math.log(0.2)
    )


def test_mean_squares_by_hand():
    """A sum over the width would grow with the mentor."""
    found = mean_squares(torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[3.0, 1.0], [0.0, 4.0]]))
    assert found.tolist() == [2.5, 8.0]


@pytest.mark.parametrize("name", ["kl", "reverse-kl", "jsd"])
def test_equal_distributions_are_no_distance_apart(name: str):
    """A student that has become its mentor has nothing left to learn."""
    same = torch.randn(4, 6, dtype=torch.float64).log_softmax(-1)
    torch.testing.assert_close(DIVERGENCES[name](same, same), torch.zeros(4, dtype=torch.float64))


def test_gradient_is_right(name: str):
    """A loss that falls by the wrong gradient goes unseen."""
    torch.manual_seed(0)
    mentor = torch.randn(3, 5, dtype=torch.float64).log_softmax(-1)
    logits = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: DIVERGENCES[name](mentor, z.log_softmax(-1)), [logits])


def test_gradient_of_mean_squares_is_right():
    """As above, for raw logits and hidden states."""
    target, own = torch.randn(3, 5, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: mean_squares(target, z), [own])


@pytest.mark.parametrize(
    ("mentor", "student"),
    [
        (logs(0.75, 0.25, 0.0), logs(0.5, 0.25, 0.25)),
        (logs(0.75, 0.25, 0.0), logs(0.5, 0.5, 0.0)),
        (logs(1.0, 0.0, 0.0), logs(0.25, 0.25, 0.5)),
    ],
)
def test_what_the_mentor_rules_out_is_no_nan(name: str, mentor: Tensor, student: Tensor):
    """0 ln 0 is 0. One nan in a batch ends a training; a nan in the gradient ends it a step later."""
    student = student.clone().requires_grad_()
    found = DIVERGENCES[name](mentor, student)
    found.sum().backward()
    assert found.isfinite().all()
    assert student.grad is not None
    assert student.grad.isfinite().all()
    a, b = mentor.exp()[0].tolist(), student.detach().exp()[0].tolist()
    assert float(found.detach()) == pytest.approx(_slowly(name, a, b), abs=1e-12)


def _slowly(name: str, a: list[float], b: list[float]) -> float:
    pairs = list(zip(a, b, strict=True))
    if name == "kl":
        return sum(p * math.log(p / q) for p, q in pairs if p)
    if name == "reverse-kl":
        return sum(q * math.log(q / p) for p, q in pairs if p and q)
    if name == "soft-cross-entropy":
        return sum(-p * math.log(q) for p, q in pairs if p)
    mixed = [(x, (p + q) / 2) for p, q in pairs for x in (p, q)]
    return sum(x * math.log(x / m) for x, m in mixed if x) / 2


def test_soft_cross_entropy_has_the_gradient_of_kl():
    """The two differ by the mentor's entropy, which no student can change."""
    mentor, logits = torch.randn(4, 7).log_softmax(-1), torch.randn(4, 7, requires_grad=True)
    gradients = [
        torch.autograd.grad(DIVERGENCES[name](mentor, logits.log_softmax(-1)).sum(), logits)[0]
        for name in ("kl", "soft-cross-entropy")
    ]
    torch.testing.assert_close(*gradients)


# What a student's logits give. The slow way below is written with whole softmaxes and plain autograd.


def slowly(logits_NV: Tensor, labels_N: Tensor, ids_NK: Tensor, temperature: float, width: int, tail: bool) -> Student:
    log_q_NV = (logits_NV[:, :width] / temperature).log_softmax(-1)
    columns = [log_q_NV.gather(1, ids_NK)]
    if tail:
        columns.append(log_q_NV.scatter(1, ids_NK, NEVER).logsumexp(-1, keepdim=True))
    labels = torch.nn.functional.one_hot(labels_N, logits_NV.shape[1])
    return Student(-(logits_NV.log_softmax(-1) * labels).sum(-1), torch.cat(columns, dim=-1))


def case(
    positions: int = 6, vocabulary: int = 11, k: int = 3, width: int | None = None, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, labels (the first among the stored tokens, the second not), and stored ids, unordered as they may be."""
    source = torch.Generator().manual_seed(seed)
    logits_NV = torch.randn(positions, vocabulary, generator=source, dtype=torch.float64) * 2
    order_NV = torch.rand(positions, width or vocabulary, generator=source).argsort(-1)
    labels_N = order_NV[:, 0].clone()
    labels_N[1] = order_NV[1, k]
    return logits_NV, labels_N, order_NV[:, :k]


BUCKETS = [(1.0, 11, True), (1.0, 9, True), (2.0, 11, True), (2.0, 9, True), (0.5, 9, True), (1.0, 9, False)]
BUCKETS += [(1.0, 11, False), (2.0, 9, False)]


@pytest.mark.parametrize(("temperature", "width", "tail"), BUCKETS)
def test_numbers_and_gradient_are_those_of_whole_softmaxes(temperature: float, width: int, tail: bool):
    """The short way is only worth having if it is the same loss: at any temperature, for padded vocabularies."""
    logits_NV, labels_N, ids_NK = case(width=width)
    mentor_NK = torch.randn(6, 3 + tail, dtype=torch.float64).log_softmax(-1)
    gradients = []
    for way in (
        lambda z: over_stored(z, labels_N, ids_NK, temperature=temperature, width=width, tail=tail),
        lambda z: slowly(z, labels_N, ids_NK, temperature, width, tail),
    ):
        z = logits_NV.clone().requires_grad_()
        found = way(z)
        gradients.append((*found, *torch.autograd.grad(_mixture(found, mentor_NK), z)))
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


def _mixture(student: Student, mentor_NK: Tensor) -> Tensor:
    divergences = [divergence(mentor_NK, student.log_q) for divergence in DIVERGENCES.values()]
    return 0.7 * student.nll.sum() + 0.3 * torch.stack(divergences).sum()


def test_buckets_are_tails_spread_evenly_on_both_sides():
    """DistillKit's `symmetric_uniform` (arcee-ai/DistillKit at a61c2e7, lossfuncs/kl.py) is the same loss (decision 7).

    It takes the mass that was not stored as shared evenly by the other tokens, the mentor's and the student's alike.
    Over whole distributions levelled so, each of V - k terms is m/(V-k) ln(m/n), m ln(m/n) together: a bucket's term.
    Computed here by both of its forms, whole distributions and its own two sums, with the gradient of each.
    """
    torch.manual_seed(0)
    vocabulary, k, temperature = 40, 5, 2.0
    mentor = (3 * torch.randn(7, vocabulary, dtype=torch.float64) / temperature).softmax(-1)
    logits = (3 * torch.randn(7, vocabulary, dtype=torch.float64)).requires_grad_()
    ids = mentor.topk(k).indices
    stored = torch.zeros_like(mentor, dtype=torch.bool).scatter(1, ids, True)

    def levelled(p: Tensor) -> Tensor:
        rest = p.masked_fill(stored, 0.0).sum(-1, keepdim=True) / (vocabulary - k)
        return torch.where(stored, p, rest)

    def whole() -> Tensor:
        p, q = levelled(mentor), levelled((logits / temperature).softmax(-1))
        return (p * (p / q).log()).sum(-1)

    def two_sums() -> Tensor:
        p, q = mentor.gather(1, ids), (logits / temperature).softmax(-1).gather(1, ids)
        m, n = 1 - p.sum(-1), 1 - q.sum(-1)
        return (p * (p.log() - q.log())).sum(-1) + m * (m.log() - n.log())

    def ours() -> Tensor:
        tail = mentor.masked_fill(stored, 0.0).sum(-1, keepdim=True)
        log_p = torch.cat([mentor.gather(1, ids), tail], -1).log()
        asked = over_stored(logits, ids[:, 0], ids, temperature=temperature, width=vocabulary, tail=True)
        return DIVERGENCES["kl"](log_p, asked.log_q)

    expected = ours()
    (slope,) = torch.autograd.grad(expected.sum(), logits)
    for other in (whole, two_sums):
        found = other()
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-13 * float(expected.detach().abs().max() + 1))
        torch.testing.assert_close(torch.autograd.grad(found.sum(), logits)[0], slope, rtol=0, atol=1e-13)
    uneven = (mentor * (mentor.log() - (logits / temperature).log_softmax(-1))).sum(-1)
    assert (uneven > expected + 1e-3).all(), "these tails are not even by themselves, or nothing was tested"


@pytest.mark.parametrize(("temperature", "width", "tail"), BUCKETS)
def test_each_number_has_its_own_gradient(temperature: float, width: int, tail: bool):
    """Mixed into one loss two wrong gradients may cancel; here each of the five is probed alone."""
    logits_NV, labels_N, ids_NK = case(positions=3, width=width)
    picked: Any = _Picked.apply
    for place in (i for i in range(5) if tail or i != 2):
        assert torch.autograd.gradcheck(
            lambda z, place=place: picked(z, ids_NK, labels_N, temperature, width, tail)[place],
            [logits_NV.clone().requires_grad_()],
        )


def test_many_parts_are_one():
    """Positions are worked on some at a time; the last part may be shorter."""
    logits_NV, labels_N, ids_NK = case(positions=31, vocabulary=40_000, k=5, width=39_000)
    mentor_NK = torch.randn(31, 6, dtype=torch.float64).log_softmax(-1)
    z, y = logits_NV.clone().requires_grad_(), logits_NV.clone().requires_grad_()
    mine = over_stored(z, labels_N, ids_NK, temperature=2.0, width=39_000, tail=True)
    theirs = slowly(y, labels_N, ids_NK, 2.0, 39_000, True)
    _mixture(mine, mentor_NK).backward()
    _mixture(theirs, mentor_NK).backward()
    torch.testing.assert_close(mine.log_q, theirs.log_q)
    torch.testing.assert_close(z.grad, y.grad)


def test_gradient_can_be_asked_for_again():
    """The trainer measures each term's gradient before the step takes the sum of both."""
    logits_NV, labels_N, ids_NK = case()
    z = logits_NV.requires_grad_()
    found = over_stored(z, labels_N, ids_NK, temperature=1.0, width=11, tail=True)
    first, second = (torch.autograd.grad(found.nll.sum(), z, retain_graph=True)[0] for _ in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_half_precision_logits_are_summed_in_float32(temperature: float):
    """A sum of 32,000 bfloat16 terms stops growing at 256."""
    logits_NV, labels_N, ids_NK = case(vocabulary=4000)
    half = logits_NV.bfloat16().requires_grad_()
    whole = half.detach().float().requires_grad_()
    mentor_NK = torch.randn(6, 4).log_softmax(-1)
    for z in (half, whole):
        found = over_stored(z, labels_N, ids_NK, temperature=temperature, width=4000, tail=True)
        assert found.nll.dtype == found.log_q.dtype == torch.float32
        torch.testing.assert_close(found, slowly(whole, labels_N, ids_NK, temperature, 4000, True))
        _mixture(found, mentor_NK).backward()
    assert half.grad is not None
    assert whole.grad is not None
    torch.testing.assert_close(half.grad, whole.grad.bfloat16())
    dense = over_tokens(half, labels_N, temperature=temperature, width=4000)
    assert dense.nll.dtype == dense.log_q.dtype == torch.float32


def test_a_student_sure_of_the_stored_tokens_ends_in_no_infinity():
    """Its tail has no mass in float32; a divergence of inf would stop the training."""
    logits_NV, labels_N, ids_NK = case()
    z = logits_NV.float().scatter(1, ids_NK, 400.0).requires_grad_()
    found = over_stored(z, labels_N, ids_NK, temperature=1.0, width=11, tail=True)
    mentor_NK = torch.full((6, 4), math.log(1 / 4))
    _mixture(found, mentor_NK).backward()
    assert found.log_q.isfinite().all()
    assert z.grad is not None
    assert z.grad.isfinite().all()


def test_a_tail_of_little_mass_keeps_its_gradient():
    """Its factor is the inverse of its mass: subtracted from the whole instead of written over, it would be noise."""
    logits_NV, labels_N, ids_NK = case()
    sure = logits_NV.scatter_add(1, ids_NK, torch.full((6, 3), 25.0, dtype=torch.float64))
    mentor_NK = torch.tensor([[0.3, 0.3, 0.39, 0.01]], dtype=torch.float64).log().expand(6, 4)
    z, y = sure.float().requires_grad_(), sure.clone().requires_grad_()
    kl = DIVERGENCES["kl"]
    kl(mentor_NK.float(), over_stored(z, labels_N, ids_NK, temperature=1.0, width=11, tail=True).log_q).sum().backward()
    kl(mentor_NK, slowly(y, labels_N, ids_NK, 1.0, 11, True).log_q).sum().backward()
    torch.testing.assert_close(z.grad, y.grad.float() if y.grad is not None else None, rtol=1e-4, atol=1e-5)


class Large(TorchDispatchMode):
    """Counts the tensors as large as the logits that were made."""

    def __init__(self, size: int, known: Tensor) -> None:
        super().__init__()
        self.size, self.places = size, {known.data_ptr()}
        self.made = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for tensor in found if isinstance(found, (tuple, list)) else [found]:
            if isinstance(tensor, Tensor) and tensor.numel() >= self.size and tensor.data_ptr() not in self.places:
                self.places.add(tensor.data_ptr())
                self.made += 1
        return found


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_only_the_gradient_is_as_large_as_the_logits(temperature: float):
    """At 32,000 tokens of vocabulary memory is what limits the batch."""
    logits_NV, labels_N, ids_NK = case(positions=200, vocabulary=8000)
    z = logits_NV.float().requires_grad_()
    mentor_NK = torch.randn(200, 4).log_softmax(-1)
    with Large(z.numel(), z) as forward:
        found = over_stored(z, labels_N, ids_NK, temperature=temperature, width=8000, tail=True)
        loss = _mixture(found, mentor_NK)
    with Large(z.numel(), z) as backward:
        torch.autograd.grad(loss, z)
    assert (forward.made, backward.made) == (0, 1)
    with Large(z.numel(), z) as plain:
        slowly(z, labels_N, ids_NK, temperature, 8000, True)
    assert plain.made > 1


def test_dense_buckets_are_the_tokens_that_have_a_name():
    """Rows that only pad the embedding take part in the cross-entropy, as always, but not in what is distilled."""
    logits_NV, labels_N, _ = case(width=9)
    found = over_tokens(logits_NV, labels_N, temperature=2.0, width=9)
    torch.testing.assert_close(found.log_q, (logits_NV[:, :9] / 2).log_softmax(-1))
    torch.testing.assert_close(found.nll, torch.nn.functional.cross_entropy(logits_NV, labels_N, reduction="none"))
    torch.testing.assert_close(found.nll, nll(logits_NV, labels_N))

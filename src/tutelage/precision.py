"""Which precision pays on this machine: bfloat16 where the processor multiplies it faster, else float32.

Weights always stay float32. In bfloat16 only matrix products are computed, under torch's autocast, which keeps a cast
copy of each weight (2 bytes a weight) while it is active.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

Precision: TypeAlias = Literal["auto", "fp32", "bf16"]

SMALL = 20_000_000
"""Weights below which a network is small for a CPU: its time passes between products, not in them. `auto` leaves it in
float32, so the bundled studies give the same students on every processor of one kernel family."""
SPEEDUP = 1.25
"""How many times as fast as in float32 a product must be in bfloat16, casts included, to be worth its rounding."""
ROWS, ROUNDS = 128, 7
"""Of the product that is measured."""


def autocast_dtype(precision: Precision, model: Any, device: torch.device | str) -> torch.dtype | None:
    """bfloat16 where matrix products of this network should be computed in it on this device; None is float32.

    `auto` is bfloat16 on a GPU that has it, and on a CPU with instructions for it (avx512_bf16, AMX) where a short
    measurement with the network's own layer sizes finds it faster.
    """
    if precision != "auto":
        return torch.bfloat16 if precision == "bf16" else None
    if torch.device(device).type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    return torch.bfloat16 if _pays_on_cpu(model) else None


def _pays_on_cpu(model: Any) -> bool:
    if not multiplies_bf16() or is_small(model):
        return False
    ends = ("get_input_embeddings", "get_output_embeddings")
    vocabulary = {id(getattr(model, end)()) for end in ends if hasattr(model, end)}
    matrices = [
        weight
        for layer in model.modules()
        if id(layer) not in vocabulary and not isinstance(layer, nn.Embedding)
        if isinstance(weight := getattr(layer, "weight", None), torch.Tensor) and weight.ndim == 2
    ]
    if not matrices:
        return False
    outputs, inputs = max(matrices, key=torch.Tensor.numel).shape
    return measured_speedup(inputs, outputs) >= SPEEDUP


def is_small(model: Any) -> bool:
    """Whether a network has fewer weights than `SMALL`."""
    return sum(p.numel() for p in model.parameters()) < SMALL


def multiplies_bf16() -> bool:
    """Whether this processor has instructions for products in bfloat16."""
    found = getattr(torch.cpu, "get_capabilities", dict[str, bool])()  # torch 2.10 and later
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


@functools.cache
def measured_speedup(inputs: int, outputs: int) -> float:
    """How many times as fast this process multiplies in bfloat16 as in float32: the best of a few rounds of each."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, inputs, generator=draw)
    weight = torch.randn(outputs, inputs, generator=draw)
    half = weight.bfloat16()

    def in_float32() -> torch.Tensor:
        return F.linear(x, weight)

    def in_bfloat16() -> torch.Tensor:
        return F.linear(x.bfloat16(), half)

    with torch.no_grad():
        times = [(_seconds(in_float32), _seconds(in_bfloat16)) for _ in range(ROUNDS)]
    return min(slow for slow, _ in times) / min(fast for _, fast in times)


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started

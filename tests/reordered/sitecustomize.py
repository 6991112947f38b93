"""Another processor for torch: every sum is added up in another order, one that depends on the shapes.

With this folder first on PYTHONPATH, Python imports this file at its start, in child processes too. Once torch is
imported, the terms of matrix products, of attention scores, and of reductions, softmax and layer norm are permuted
before torch's own kernel sees them; SUM_ORDER, a number, chooses among the orders. The results are as exact as before
and differ from them by rounding alone, at the scale of the summed terms, as they do between two processors. The same
operation on the same shapes gives the same bits.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_KEPT: list[Any] = []  # torch drops the kernels of a library that is garbage collected


class _AfterTorch:
    """Finds torch as usual, and replaces its kernels when its import has ended."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        if name != "torch":
            return None
        sys.meta_path.remove(self)  # pyright: ignore[reportArgumentType]
        spec = importlib.util.find_spec(name)
        return spec and _followed_by(spec, reorder_sums)


def _followed_by(spec: ModuleSpec, then: Callable[[], None]) -> ModuleSpec:
    loader: Any = spec.loader
    load = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        load(module)
        then()

    loader.exec_module = exec_module
    return spec


def reorder_sums() -> None:
    """Put kernels before torch's own that change the order of what is summed."""
    import torch
    from torch import Tensor

    library = torch.library.Library("aten", "IMPL")
    _KEPT.append(library)
    salt = int(os.environ.get("SUM_ORDER", "0"))

    def order(size: int, *shape: int) -> Tensor:
        """A permutation that is the same for the same shapes. Built without torch's own random numbers."""
        state, places = hash((salt, size, *shape)) & 0x7FFFFFFF, list(range(size))
        for last in range(size - 1, 0, -1):
            state = (state * 1103515245 + 12345) & 0x7FFFFFFF
            other = (state >> 8) % (last + 1)
            places[last], places[other] = places[other], places[last]
        return torch.tensor(places, dtype=torch.long)

    remembered: dict[tuple[int, ...], Tensor] = {}

    def shuffled(*tensors_and_dims: tuple[Tensor, int]) -> list[Tensor]:
        first, dim = tensors_and_dims[0]
        key = (first.shape[dim], *(n for tensor, _ in tensors_and_dims for n in tensor.shape))
        if key not in remembered:
            remembered[key] = order(*key)
        return [tensor.index_select(dim, remembered[key]) for tensor, dim in tensors_and_dims]

    def back(tensor: Tensor, dim: int, shape: Sequence[int]) -> Tensor:
        return tensor.index_select(dim, remembered[(shape[dim], *shape)].argsort())

    def replace(name: str, kernel: Callable[..., Any]) -> None:
        own = torch.library.get_kernel(f"aten::{name}", "CPU")

        def called(keys: Any, *args: Any, **more: Any) -> Any:
            return kernel(lambda *a, **m: own.call_boxed(keys, *a, **m), *args, **more)

        with warnings.catch_warnings(action="ignore", category=UserWarning):  # that a kernel is replaced: we know
            library.impl(name, called, "CPU", with_keyset=True)

    def product(own: Any, a: Tensor, b: Tensor, *args: Any, **more: Any) -> Tensor:
        return own(*shuffled((a, a.ndim - 1), (b, max(b.ndim - 2, 0))), *args, **more)

    def product_and_sum(own: Any, c: Tensor, a: Tensor, b: Tensor, *args: Any, **more: Any) -> Tensor:
        return own(c, *shuffled((a, a.ndim - 1), (b, max(b.ndim - 2, 0))), *args, **more)

    def attention(own: Any, query: Tensor, key: Tensor, *args: Any, **more: Any) -> Any:
        return own(*shuffled((query, 3), (key, 3)), *args, **more)

    def softmax(own: Any, x: Tensor, dim: int, *args: Any, **more: Any) -> Tensor:
        if not x.ndim:
            return own(x, dim, *args, **more)
        return back(own(*shuffled((x, dim)), dim, *args, **more), dim, x.shape)

    def reduction(own: Any, x: Tensor, dims: Sequence[int] | None, *args: Any, **more: Any) -> Tensor:
        for dim in dims or (range(x.ndim) if dims is None or not len(dims) else ()):
            [x] = shuffled((x, dim))
        return own(x, dims, *args, **more)

    def layer_norm(own: Any, x: Tensor, shape: Sequence[int], *scales: Tensor | None, eps: float) -> Any:
        if len(shape) > 1:
            return own(x, shape, *scales, eps)
        [moved] = shuffled((x, x.ndim - 1))
        places = remembered[(x.shape[-1], *x.shape)]
        found, *moments = own(moved, shape, *(s if s is None else s.index_select(0, places) for s in scales), eps)
        return back(found, x.ndim - 1, x.shape), *moments

    for name in ("mm", "bmm", "mv", "dot"):
        replace(name, product)
    for name in ("addmm", "baddbmm", "addmv"):
        replace(name, product_and_sum)
    for name in ("_softmax", "_log_softmax"):
        replace(name, softmax)
    for name in ("sum.dim_IntList", "mean.dim"):
        replace(name, reduction)
    replace("native_layer_norm", lambda own, x, shape, w, b, eps: layer_norm(own, x, shape, w, b, eps=eps))
    replace("_scaled_dot_product_flash_attention_for_cpu", attention)


sys.meta_path.insert(0, _AfterTorch())  # pyright: ignore[reportArgumentType]

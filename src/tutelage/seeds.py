"""Random numbers that depend on what they are for, not on when they are drawn.

uniforms("4 0 [71, 23, 1]", 96)      # the same 96 numbers in every run, batch and order
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def uniforms(key: str, *shape: int) -> Tensor:
    """Numbers in [0, 1), in float64, decided by the key alone; state of no generator is touched."""
    import torch

    digest = hashlib.sha256(key.encode()).digest()
    source = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return torch.rand(shape, generator=source, dtype=torch.float64)

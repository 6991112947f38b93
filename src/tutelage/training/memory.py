"""Memory that a step has used stays with the process for the next step, on a CPU with glibc."""

from __future__ import annotations

import ctypes
import functools

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""glibc's numbers, see mallopt(3)."""


@functools.cache
def keep_freed_memory() -> bool:
    """Let malloc keep large blocks for the next step, for the whole process; whether that worked.

    By default glibc gets each large tensor from the system and gives it back when freed. The next step then waits for
    the same pages to be handed out and cleared again: of a step over 944 tokens and a vocabulary of 32,128 that was a
    quarter of the time (582 to 451 ms, one core; `docs/log.md`). The price is that the process stays as large as its
    largest step. Elsewhere than on glibc nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return all(mallopt(*pair) for pair in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 1 << 26)))

"""Freed memory stays with the process: measured in a process of its own, since malloc is changed for good."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from tutelage.training.memory import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(25_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(min(faults() for _ in range(3)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc")
def test_a_large_tensor_costs_no_new_pages_the_second_time():
    """Every step of training would wait again for memory that it had a moment before."""

    def faults(how: str) -> int:
        done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
        return int(done.stdout)

    default = faults("default")  # 24,000 pages, or 48 where the system hands out large ones
    assert default > 20
    assert faults("kept") < default / 5

"""The numeric tests on other processors: the same arithmetic in other kernels, one run of pytest for each.

Which kernel adds up is chosen by the processor, and each has its own order and therefore its own rounding. A test that
holds with one of them only is a defect of the test, or a dependence on rounding that users will meet. Libraries can be
told to use the kernels of a lesser processor; `reordered` stands for those that no library here has.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
KERNELS: dict[str, dict[str, str]] = {
    "oldest": {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_CBWR": "COMPATIBLE",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OPENBLAS_CORETYPE": "Prescott",
    },
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_CBWR": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    },
    "avx512": {
        "ATEN_CPU_CAPABILITY": "avx512",
        "MKL_CBWR": "AVX512",
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
        "OPENBLAS_CORETYPE": "SkylakeX",
    },
    "zen, two threads": {"OPENBLAS_CORETYPE": "Zen", "OMP_NUM_THREADS": "2"},
    "reordered 1": {"PYTHONPATH": str(TESTS / "reordered"), "SUM_ORDER": "1"},
    "reordered 2": {"PYTHONPATH": str(TESTS / "reordered"), "SUM_ORDER": "2"},
}
DIGEST = """
import hashlib, numpy, torch
chance = torch.Generator().manual_seed(0)
found = hashlib.sha256()
for dtype in (torch.float32, torch.float64):
    a, b = (torch.randn(2, 60, 70, generator=chance, dtype=dtype) for _ in range(2))
    product = torch.nn.functional.gelu(a @ b.mT)
    in_numpy = torch.from_numpy(a[0].numpy() @ b[0].numpy().T)
    for result in (product, in_numpy, a[0] @ b[0, 0], product.softmax(-1), product.sum(-1)):
        found.update(result.numpy().tobytes())
found.update(torch.randn(1 << 20, generator=chance).sum().numpy().tobytes())
print(found.hexdigest())
"""
"""A mark of the rounding of what models and rerankers are made of."""


def environment(kernel: dict[str, str]) -> dict[str, str]:
    """This process's, without what pytest and this project's own kernels put there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    paths = os.pathsep.join(filter(None, (kernel.get("PYTHONPATH"), kept.get("PYTHONPATH"))))
    return {**kept, **kernel, **({"PYTHONPATH": paths} if paths else {})}


def skip_without_kernels(name: str) -> None:
    import torch

    if name.startswith("reordered") and not hasattr(torch.library, "get_kernel"):
        pytest.skip("this torch does not lend its kernels; 2.9 does")


def rounding(kernel: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", DIGEST], env=environment(kernel), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_same_kernel_rounds_alike_and_another_order_does_not():
    """A check under other kernels that all round as this one does would prove nothing."""
    skip_without_kernels("reordered 1")
    marks = [rounding(KERNELS["reordered 1"]) for _ in range(2)]
    assert marks[0] == marks[1]
    assert len({marks[0], rounding(KERNELS["reordered 2"]), rounding({})}) == 3


@pytest.mark.long
@pytest.mark.parametrize("name", KERNELS)
def test_numeric_tests_hold_with_every_kernel(name: str, tmp_path: Path):
    """A suite that fails on the user's processor says nothing about the user's change."""
    skip_without_kernels(name)
    if rounding(KERNELS[name]) == rounding({}):
        pytest.skip("this processor rounds alike with it")
    words = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "numeric and not slow and not long and not data",
        "-o",
        "timeout=1200",
    ]
    with (tmp_path / "output").open("w") as output:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *words, "--basetemp", str(tmp_path / "tests"), str(TESTS)],
            env=environment(KERNELS[name]),
            cwd=TESTS.parent,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    told = (tmp_path / "output").read_text()
    assert done.returncode == 0, f"{KERNELS[name]}\n{told[-20_000:]}"

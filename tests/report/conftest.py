"""Made-up runs and, where there is one, a real browser."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from chromium import Page, find_chromium, open_chromium
from synthetic_run import write_run


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Write a made-up run into a fresh folder; see `write_run` for what can be set."""
    count = iter(range(99))
    return lambda **settings: write_run(tmp_path / f"run-{next(count)}", **settings)


@pytest.fixture(scope="session")
def chromium() -> Generator[Page]:
    """One real browser for the whole session."""
    if find_chromium() is None:
        pytest.skip("no Chromium here: install it, or name it in the variable CHROMIUM")
    with open_chromium() as page:
        yield page

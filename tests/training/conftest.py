"""The Trainer collects garbage at the start of every run; what the imports left is no garbage and is not looked at."""

import gc
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def _frozen_imports() -> None:
    import tutelage.training.student  # noqa: F401

    gc.freeze()


@pytest.fixture(params=["t5", "gpt"])
def folder(request: pytest.FixtureRequest, tiny_t5_folder: Path, tiny_gpt_folder: Path) -> Path:
    """A checkpoint of either architecture."""
    return tiny_t5_folder if request.param == "t5" else tiny_gpt_folder

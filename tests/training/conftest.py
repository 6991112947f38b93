"""The Trainer collects garbage at the start of every run; what the imports left is no garbage and is not looked at."""

import gc

import pytest


@pytest.fixture(scope="session", autouse=True)
def _frozen_imports() -> None:
    import tutelage.training.student  # noqa: F401

    gc.freeze()

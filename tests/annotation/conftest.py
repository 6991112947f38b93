"""One real server for all tests that ask one."""

from collections.abc import Generator

import pytest
from served import Served, serve


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    with serve(tmp_path_factory.mktemp("served")) as server:
        yield server

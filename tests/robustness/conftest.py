import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from fuzz import Worker, write_bases


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good checkpoint, model and song, of which damaged ones are made."""
    return write_bases(tmp_path_factory.mktemp("bases"))


@pytest.fixture(scope="session")
def worker() -> Iterator[Worker]:
    """A process that may crash and hang without this one."""
    worker = Worker()
    yield worker
    worker.close()

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fuzz import Worker

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good checkpoint, model and song, of which damaged ones are made."""
    from fuzz import write_bases

    return write_bases(tmp_path_factory.mktemp("bases"))


@pytest.fixture(scope="session")
def worker() -> Iterator["Worker"]:
    """A process that may crash and hang without this one."""
    from fuzz import Worker

    worker = Worker()
    yield worker
    worker.close()

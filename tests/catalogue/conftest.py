import importlib.util
from pathlib import Path

import pytest
from catalogue_examples import separate, tiny_artifact, write_songs

MISSING = not importlib.util.find_spec("ray")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Pass over what needs Ray where it is not installed."""
    for item in items:
        if MISSING and item.get_closest_marker("ray"):
            item.add_marker(pytest.mark.skip(reason="needs Ray: make ray"))


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifact(tmp_path_factory.mktemp("artifact"))


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty short songs."""
    return write_songs(tmp_path_factory.mktemp("songs") / "library", 30)


@pytest.fixture(scope="session")
def single(artifact: Path, library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stems of the library, as one machine makes them."""
    folder = tmp_path_factory.mktemp("single")
    assert separate(artifact, library, "-o", folder / "out", temporary=folder / "tmp").returncode == 0
    return folder / "out"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The workers' folder for what is temporary."""
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp"

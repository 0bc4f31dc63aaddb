import pytest
from full_size_examples import Artifact, compiled


@pytest.fixture(scope="session")
def htdemucs(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The first of the architectures, compiled and compared once. Tests must leave it as it is."""
    return compiled("htdemucs", tmp_path_factory.mktemp("htdemucs"))

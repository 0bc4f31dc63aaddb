"""The real architectures, each compiled once for all tests of the folder."""

from collections.abc import Callable
from functools import cache

import pytest
from full_size_examples import Artifact

from onnx_demucs_compiler import compile, load_model


@pytest.fixture(scope="session")
def artifact_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Artifact]:
    """The artefact of an untrained architecture, by the architecture's name."""

    @cache
    def compiled(name: str) -> Artifact:
        source = load_model(f"untrained:{name}")
        result = compile(source)
        return Artifact(source, result, result.save(tmp_path_factory.mktemp(name) / f"{name}.onnx"))

    return compiled


@pytest.fixture
def htdemucs(artifact_of: Callable[[str], Artifact]) -> Artifact:
    return artifact_of("htdemucs")

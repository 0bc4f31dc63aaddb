"""What the package offers by name."""

from importlib.util import find_spec

import pytest

import onnx_demucs_compiler


@pytest.mark.parametrize("name", onnx_demucs_compiler.__all__)
def test_no_module_takes_the_place_of_a_name(name: str) -> None:
    """Python binds a module to its package when it is first imported, over what had its name."""
    assert find_spec(f"{onnx_demucs_compiler.__name__}.{name}") is None

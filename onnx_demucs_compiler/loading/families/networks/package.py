"""The package that has the networks."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from onnx_demucs_compiler.errors import CompilerError


def networks_package() -> Any:
    """pymss-core.

    Raises:
        CompilerError: it is not installed.
    """
    try:
        return import_module("pymss_core")
    except ImportError as error:
        raise CompilerError(
            "models with a configuration need pymss-core: pip install 'onnx-demucs-compiler[networks]'"
        ) from error

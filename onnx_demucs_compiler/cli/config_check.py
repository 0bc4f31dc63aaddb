"""A comparison of a reduced-operator config with models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_compiler.errors import CompilerError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def check_config(config: Path, models: Iterable[Path]) -> None:
    """Fail if a config keeps too few or too many kernels.

    Raises:
        CompilerError: it does not, or a file is not what it should be.
        OSError: the config cannot be read.
    """
    from onnx_demucs_compiler.ort import as_ort_format, check_ops_config

    if not config.is_file():
        raise CompilerError(f"{config}: {'not a file' if config.exists() else 'no such file'}")
    content = config.read_bytes()
    converted = [as_ort_format(path) for path in models]
    try:
        check_ops_config(content, converted)
    except CompilerError as error:
        raise CompilerError(f"{config}: {error}") from error

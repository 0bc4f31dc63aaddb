"""Whether a file is the reduced-operator config of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_compiler.errors import CompilerError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def check_config(config: Path, models: Iterable[Path]) -> None:
    """See to it that a config keeps every kernel that models need, and no other.

    Raises:
        CompilerError: it does not, or a file is not what it should be.
        OSError: the config cannot be read.
    """
    from onnx_demucs_compiler.ort import as_ort_format, check_ops_config

    content = config.read_bytes()
    converted = [as_ort_format(path) for path in models]
    try:
        check_ops_config(content, converted)
    except CompilerError as error:
        raise CompilerError(f"{config}: {error}") from error

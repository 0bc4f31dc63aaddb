"""The files beside an ``.onnx`` file for reduced builds of ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_compiler.ort.conversion import ort_format as convert
from onnx_demucs_compiler.ort.names import config_path, ort_path
from onnx_demucs_compiler.ort.ops_config import ops_config as config_of

if TYPE_CHECKING:
    from pathlib import Path


def companion_paths(path: Path, *, ort_format: bool, ops_config: bool) -> tuple[Path, ...]:
    """The paths of the companion files that are asked for.

    Args:
        path: of the ``.onnx`` file.
        ort_format: whether the ORT-format model is asked for.
        ops_config: whether its reduced-operator config is.
    """
    asked = ((ort_path(path), ort_format), (config_path(path), ops_config))
    return tuple(file for file, wanted in asked if wanted)


def companions(path: Path, model: bytes, *, ort_format: bool, ops_config: bool) -> dict[Path, bytes]:
    """The files that are asked for, complete and not yet written.

    Args:
        path: of the ``.onnx`` file.
        model: what goes into it.
        ort_format: whether the ORT-format model is asked for.
        ops_config: whether its reduced-operator config is.

    Raises:
        CompilerError: ONNX Runtime cannot convert the model.
    """
    if not (ort_format or ops_config):
        return {}
    converted = convert(model)
    files = {ort_path(path): converted} if ort_format else {}
    return files | ({config_path(path): config_of([converted])} if ops_config else {})

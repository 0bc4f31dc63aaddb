"""The runtimes in which the files of a target are measured."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from onnx_demucs_compiler.checking.fidelity import open_session
from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.runtime.devices import DeviceError
from onnx_demucs_compiler.runtime.openvino import OPENVINO, open_in_openvino
from onnx_demucs_compiler.runtime.stderr import unheard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx_demucs_compiler.checking.fidelity import Session
    from onnx_demucs_compiler.targets import Target

INSTALL = "pip install 'onnx-demucs-compiler[openvino]'"


def check_installed(target: Target) -> None:
    """Fail early if the runtime of a target is missing.

    Raises:
        CompilerError: it is not installed.
    """
    if target.engine == OPENVINO.name and not OPENVINO.is_available:
        raise CompilerError(f"target {target} is measured in OpenVINO, which is not installed: {INSTALL}")


def packages_of(target: Target) -> tuple[str, ...]:
    """The packages that measure a target's files, beside ONNX Runtime's."""
    return (OPENVINO.name,) if target.engine == OPENVINO.name else ()


def sessions(target: Target, data: bytes) -> Iterator[tuple[tuple[str, ...], Session]]:
    """Open a graph in ONNX Runtime, then in its target's runtime.

    Args:
        target: of the graph.
        data: the graph, serialised.

    Yields:
        A sentence that names the runtime, where it is not ONNX Runtime; and the session.

    Raises:
        CompilerError: one of them refuses it.
    """
    yield (), open_session(data)
    if target.engine != OPENVINO.name:
        return
    with tempfile.TemporaryDirectory(prefix="onnx-demucs-") as folder:
        path = Path(folder, "model.onnx")
        path.write_bytes(data)
        try:
            with unheard():
                session = open_in_openvino(path)
        except DeviceError as error:
            raise CompilerError(f"OpenVINO cannot load the compiled graph ({error})") from error
        yield ("measured in OpenVINO",), session

"""The runtimes in which the files of a target are measured."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from onnx_demucs_compiler.artifact.compiled import serialized
from onnx_demucs_compiler.artifact.external import PAGE, weights_path
from onnx_demucs_compiler.checking.fidelity import open_session
from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.runtime.devices import DeviceError
from onnx_demucs_compiler.runtime.openvino import OPENVINO, open_in_openvino
from onnx_demucs_compiler.runtime.stderr import unheard

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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


def sessions(
    target: Target, data: bytes, hollow: onnx.ModelProto, places: Mapping[str, tuple[int, int]]
) -> Iterator[tuple[tuple[str, ...], Session]]:
    """Open a graph in ONNX Runtime, then in its target's runtime.

    ONNX Runtime maps the weights into memory, from a copy of the file's own bytes.

    Args:
        target: of the graph.
        data: the graph, serialised.
        hollow: the graph without its weights.
        places: offset and size of each in ``data``, by name.

    Yields:
        A sentence that names the runtime, where it is not ONNX Runtime; and the session.

    Raises:
        CompilerError: one of them refuses it.
    """
    with tempfile.TemporaryDirectory(prefix="onnx-demucs-", ignore_cleanup_errors=True) as folder:
        yield (), _mapped(Path(folder, "graph.onnx"), data, hollow, places)
        if target.engine != OPENVINO.name:
            return
        path = Path(folder, "model.onnx")
        path.write_bytes(data)
        try:
            with unheard():
                session = open_in_openvino(path)
        except DeviceError as error:
            raise CompilerError(f"OpenVINO cannot load the compiled graph ({error})") from error
        yield ("measured in OpenVINO",), session


def _mapped(
    path: Path, data: bytes, hollow: onnx.ModelProto, places: Mapping[str, tuple[int, int]]
) -> Session:
    """A session with weights mapped, in memory where there is no room."""
    source: Path | bytes = path
    try:
        _write_apart(path, data, hollow, places)
    except OSError:
        source = data
    session: Session = open_session(source)
    return session


def _write_apart(
    path: Path, data: bytes, hollow: onnx.ModelProto, places: Mapping[str, tuple[int, int]]
) -> None:
    """Write a graph and, beside it, weights cut from its bytes."""
    graph = onnx.ModelProto()
    graph.CopyFrom(hollow)
    with weights_path(path).open("wb") as weights:
        for tensor in graph.graph.initializer:
            if tensor.name in places:
                offset, size = places[tensor.name]
                weights.write(bytes(-weights.tell() % PAGE))
                tensor.data_location = onnx.TensorProto.EXTERNAL
                located = {"location": weights_path(path).name, "offset": weights.tell(), "length": size}
                for key, value in located.items():
                    tensor.external_data.add(key=key, value=str(value))
                weights.write(memoryview(data)[offset : offset + size])
    path.write_bytes(serialized(graph))

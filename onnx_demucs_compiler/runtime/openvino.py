"""OpenVINO in place of ONNX Runtime, on the CPU.

It is chosen, checked and left as a device is (:mod:`~.health`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler.engines.openvino import ENGINE, SETTINGS, OpenVinoModel
from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.runtime.cores import usable_cores
from onnx_demucs_compiler.runtime.devices import CPU, Device, DeviceError, find_device
from onnx_demucs_compiler.runtime.user_cache import cache_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ONNXRUNTIME = "onnxruntime"
ON_THE_CPU = ("auto", CPU.name)
PLACE = re.compile(r"(Exception from|Check .*? failed at) \S+:\d+:")
"""Files and lines of its source, which its errors name."""

LONGEST = 300

_IDENTIFIER = slice(4, 8)
"""The bytes by which a flat buffer tells its kind."""


@dataclass(frozen=True)
class OpenVino(Device):
    """OpenVINO, opened and held to a floor as a device is."""

    @property
    def is_available(self) -> bool:
        """True if its package is installed."""
        return ENGINE.installed_version() is not None

    @property
    def version(self) -> str:
        """Of its package."""
        return ENGINE.installed_version() or ""

    def open(self, path: Path, threads: int | None) -> Any:
        """Open a model, compiled before if it is in the user's cache.

        Raises:
            DeviceError: OpenVINO is broken, or refuses the model.
        """
        return open_in_openvino(path, threads, _cache())


class OpenVinoSession:
    """A model that runs like a session of ONNX Runtime."""

    def __init__(self, model: OpenVinoModel) -> None:
        self._model = model

    def get_inputs(self) -> list[SimpleNamespace]:
        """The inputs in their order."""
        return _ports(self._model.inputs)

    def get_outputs(self) -> list[SimpleNamespace]:
        """The outputs in their order."""
        return _ports(self._model.outputs)

    def get_modelmeta(self) -> SimpleNamespace:
        """The file's metadata."""
        return SimpleNamespace(custom_metadata_map=self._model.metadata)

    def run(self, _: None, feeds: Mapping[str, Any]) -> Any:
        """The outputs, in their order, of inputs by name.

        Raises:
            CompilerError: OpenVINO fails.
        """
        try:
            return self._model.run(feeds, list(self._model.outputs))
        except Exception as error:  # RuntimeError, and TypeError where an array does not fit
            raise CompilerError(f"OpenVINO cannot run the model ({_told(error)})") from error


def open_in_openvino(path: Path, threads: int | None = None, cache: Path | None = None) -> OpenVinoSession:
    """Open a model in OpenVINO, in float32.

    Args:
        path: the ``.onnx`` file.
        threads: how many compute; those of :func:`~.cores.usable_cores` when None.
        cache: a folder for compiled models.

    Raises:
        DeviceError: OpenVINO is broken, or refuses the model.
    """
    try:
        return OpenVinoSession(OpenVinoModel(path, threads or usable_cores(), cache))
    except Exception as error:  # of an import, a file or a kernel, which share no narrower base
        raise DeviceError(_told(error)) from error


OPENVINO = OpenVino(
    ENGINE.name,
    "OpenVINO",
    "'onnx-demucs-runtime[openvino]'",
    "portable",
    options=SETTINGS,
    instead=ONNXRUNTIME,
)

RUNTIMES = (ONNXRUNTIME, OPENVINO.name)


def chosen_device(runtime: str, device: str, model: Path) -> Device:
    """The device of ONNX Runtime, or OpenVINO, that a user means.

    Args:
        runtime: of :data:`RUNTIMES`.
        device: see :func:`~.devices.find_device`; of OpenVINO ``auto`` or ``cpu``.
        model: the artifact.

    Raises:
        UsageError: there is none of that name, or it is not installed; or the two exclude each other, or
            the model's format and the runtime.
    """
    check_runtime(runtime, device, str(model), _start_of(model))
    if runtime == ONNXRUNTIME:
        return find_device(device)
    if not OPENVINO.is_available:
        raise UsageError(
            f"runtime openvino needs a package that is not installed: pip install {OPENVINO.package}"
        )
    return OPENVINO


def check_runtime(runtime: str, device: str, model: str, start: bytes) -> None:
    """Refuse what no machine can do.

    Args:
        runtime: see :func:`chosen_device`.
        device: likewise.
        model: the artifact, for messages.
        start: the first bytes of it.

    Raises:
        UsageError: see :func:`chosen_device`.
    """
    if runtime not in RUNTIMES:
        raise UsageError(f"there is no runtime {runtime}; there are {' and '.join(RUNTIMES)}")
    if runtime == ONNXRUNTIME:
        return
    if device not in ON_THE_CPU:
        raise UsageError(
            f"device {device} is one of ONNX Runtime's, and openvino is on the CPU; leave out one of them"
        )
    if start[_IDENTIFIER] == b"ORTM":
        raise UsageError(f"{model} is in ORT format, which only ONNX Runtime reads; give the .onnx file")


def _start_of(model: Path) -> bytes:
    """The first bytes of a file; none where there is no file."""
    if not model.is_file():
        return b""
    with model.open("rb") as file:
        return file.read(_IDENTIFIER.stop)


def _cache() -> Path | None:
    """The folder for compiled models, if it can be written."""
    folder = cache_folder() / ENGINE.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder


def _ports(shapes: Mapping[str, list[int | None]]) -> list[SimpleNamespace]:
    return [SimpleNamespace(name=name, shape=shape) for name, shape in shapes.items()]


def _told(error: Exception) -> str:
    """Its errors in one line, without places in its source."""
    return " ".join(PLACE.sub("", str(error)).split())[:LONGEST] or type(error).__name__

"""The devices that run a model: one value for each."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import onnxruntime

from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.runtime.cores import usable_cores
from onnx_demucs_compiler.runtime.session import create_session, in_one_line, session_options
from onnx_demucs_compiler.runtime.stderr import unheard
from onnx_demucs_compiler.runtime.user_cache import cache_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

CPU_PROVIDER = "CPUExecutionProvider"
SOURCE = re.compile(r"^/\S+:\d+ .*?\) ")
"""The file, line and function that its errors begin with."""
LIBRARIES = (".so", ".dll", ".dylib")
"""How files of plug-in providers end."""


class DeviceError(CompilerError):
    """A device does not run a model; the message names neither."""


@dataclass(frozen=True)
class Device:
    """An execution provider of ONNX Runtime, and the way to use it.

    Attributes:
        name: what users call it.
        provider: ONNX Runtime's name.
        package: of Python, that has it.
        target: of ``compile``, whose graphs suit it.
        precision: in which it computes a float32 graph, with :attr:`options`.
        floor_db: SNR against the CPU in dB, below which its stems are not used.
        options: of the provider.
        helper: another provider, which takes what this one does not.
        own_threads: whether the provider has a pool of threads of its own, beside which ONNX Runtime's would
            only be in the way.
        instead: the name of what it is held against, which takes over where the two disagree.
    """

    name: str
    provider: str
    package: str
    target: str
    precision: str = "float32"
    floor_db: float = 60.0
    options: Mapping[str, str] = field(default_factory=dict)
    helper: str = ""
    own_threads: bool = False
    instead: str = "cpu"

    @property
    def version(self) -> str:
        """Of what computes, beside ONNX Runtime's."""
        return ""

    @property
    def is_available(self) -> bool:
        """True if the installed ONNX Runtime has the provider.

        That does not promise a device.
        """
        return self.provider in onnxruntime.get_available_providers()

    def open(self, path: Path, threads: int | None) -> onnxruntime.InferenceSession:
        """Open a model on it.

        Raises:
            DeviceError: there is no such device, or it cannot run the model.
        """
        chain = [self.provider, *filter(None, [self.helper]), CPU_PROVIDER]
        own = {**self.options, **_options_of_this_machine(self, threads)}
        options = [own if provider == self.provider else {} for provider in chain]
        settings = session_options(1 if self.own_threads else threads, flush=True)
        try:
            session = onnxruntime.InferenceSession(path, settings, chain, options, enable_fallback=0)
        except Exception as error:  # onnxruntime's errors share no narrower base
            raise DeviceError(_why(error)) from error
        return _checked(session, self.provider)


@dataclass(frozen=True)
class PluginDevice(Device):
    """A provider in a library of its own, which ONNX Runtime loads.

    Attributes:
        file: it.
    """

    file: Path = Path()

    def open(self, path: Path, threads: int | None) -> onnxruntime.InferenceSession:
        """Open a model on the first device that the library offers.

        Raises:
            DeviceError: it offers none, or cannot run the model.
        """
        options = session_options(threads, flush=True)
        try:
            names = _providers_of(self.file.resolve())
            offered = [device for device in onnxruntime.get_ep_devices() if device.ep_name in names]
            if not offered:
                raise DeviceError("the library offers no device on this machine")
            options.add_provider_for_devices(offered[:1], {})
            session = onnxruntime.InferenceSession(path, options, enable_fallback=0)
        except DeviceError:
            raise
        except Exception as error:  # onnxruntime's errors share no narrower base
            raise DeviceError(_why(error)) from error
        return _checked(session, offered[0].ep_name)


@cache
def _providers_of(library: Path) -> frozenset[str]:
    """The providers that a library adds; it may be loaded once only."""
    before = {device.ep_name for device in onnxruntime.get_ep_devices()}
    onnxruntime.register_execution_provider_library(library.stem, str(library))
    return frozenset(device.ep_name for device in onnxruntime.get_ep_devices()) - before


CPU = Device("cpu", CPU_PROVIDER, "onnxruntime", "ort")

CUDA = Device(
    "cuda",
    "CUDAExecutionProvider",
    "onnxruntime-gpu",
    "portable",
    options={"use_tf32": "0", "cudnn_conv_use_max_workspace": "1"},
)

DEVICES = (
    CPU,
    CUDA,
    Device(
        "tensorrt",
        "TensorrtExecutionProvider",
        "onnxruntime-gpu",
        "portable",
        options={"trt_fp16_enable": "0", "trt_engine_cache_enable": "1"},
        helper="CUDAExecutionProvider",
    ),
    Device(
        "coreml",
        "CoreMLExecutionProvider",
        "onnxruntime",
        "portable",
        "float16",
        floor_db=40.0,
        options={"ModelFormat": "MLProgram", "MLComputeUnits": "ALL"},
    ),
    Device("directml", "DmlExecutionProvider", "onnxruntime-directml", "portable"),
    Device("webgpu", "WebGpuExecutionProvider", "onnxruntime-webgpu", "web"),
    Device(
        "xnnpack",
        "XnnpackExecutionProvider",
        "a build of ONNX Runtime with XNNPACK",
        "portable",
        own_threads=True,
    ),
)
"""By :attr:`Device.name`, in an order that starts with the CPU."""

NAMES = ("auto", *(device.name for device in DEVICES))
AUTOMATIC = ("cuda", "directml", "webgpu")
"""The devices that ``auto`` looks for, in this order.

Not Core ML, which computes in half precision, and not TensorRT, whose first run takes minutes.
"""


def find_device(name: str) -> Device:
    """The device that a user means.

    Args:
        name: of :data:`NAMES`, or the path of a plug-in provider.

    Raises:
        UsageError: there is no such device, or no provider for it is installed.
    """
    if name == "auto":
        found = {device.name: device for device in DEVICES if device.is_available}
        return next((found[each] for each in AUTOMATIC if each in found), CPU)
    if Path(name).suffix in LIBRARIES:
        if not Path(name).is_file():
            raise UsageError(f"{name}: no such file, of which a plug-in provider could be loaded")
        stem = Path(name).stem
        return PluginDevice(stem, stem, name, "portable", file=Path(name))
    for device in DEVICES:
        if device.name == name:
            return _installed(device)
    raise UsageError(
        f"there is no device {name}; there are {', '.join(NAMES)}, and plug-in providers by the path of "
        "their library"
    )


def _installed(device: Device) -> Device:
    if device.is_available:
        return device
    advice = device.package if " " in device.package else f"pip install {device.package}"
    in_place = "" if device.package == "onnxruntime" else ", in place of onnxruntime"
    raise UsageError(f"{device.name} needs a provider that is not installed: {advice}{in_place}")


def _options_of_this_machine(device: Device, threads: int | None) -> dict[str, str]:
    """Options of a provider that depend on the machine."""
    if device.own_threads:
        return {"intra_op_num_threads": str(threads or usable_cores())}
    if device.name == "tensorrt":
        folder = cache_folder() / "tensorrt"
        folder.mkdir(parents=True, exist_ok=True)
        return {"trt_engine_cache_path": str(folder)}
    return {}


def _why(error: Exception) -> str:
    """An error of onnxruntime without the place in its source."""
    text = in_one_line(error)
    return text.partition(" was false. ")[2] or SOURCE.sub("", text)


def _checked(session: onnxruntime.InferenceSession, provider: str) -> onnxruntime.InferenceSession:
    """The session, if it has the provider.

    ONNX Runtime may leave one out without an error.
    """
    if provider not in session.get_providers():
        raise DeviceError("its driver or its libraries are missing, or too old")
    return session


def open_session(
    path: Path, threads: int | None = None, device: Device = CPU
) -> onnxruntime.InferenceSession:
    """Open a model on a device.

    Raises:
        CompilerError: there is no such file, or onnxruntime cannot load it.
        DeviceError: the device cannot.
    """
    if device is CPU:
        return create_session(path, threads, flush=True)
    if not path.is_file():
        raise CompilerError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    with unheard():  # of drivers that are looked for
        return device.open(path, threads)

"""A device held against the CPU before it gets a song.

One segment runs on both. The outcome is remembered for this device, its driver and this file.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from onnx_demucs_compiler.checking.decibels import (
    ABSENT_DB,
    energy,
    error_energy,
    nan_lowest,
    snr_db,
    to_mix_db,
)
from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.runtime.devices import CPU, Device, DeviceError
from onnx_demucs_compiler.runtime.graph import Graph
from onnx_demucs_compiler.runtime.manifest import FileRecord
from onnx_demucs_compiler.runtime.openvino import ONNXRUNTIME, chosen_device
from onnx_demucs_compiler.runtime.user_cache import cache_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Audio = NDArray[np.float32]

DRIVERS = ("/proc/driver/nvidia/version", "/sys/module/nvidia/version", "/sys/module/amdgpu/version")
"""Files in which Linux tells the version of a driver."""

MOST_REMEMBERED = 100

IN_WORDS = {CPU.name: "the CPU", ONNXRUNTIME: "ONNX Runtime"}


@dataclass(frozen=True)
class Health:
    """The outcome of a check.

    Attributes:
        device: the name of the one that was asked for.
        used: the name of the one that computes.
        snr_db: of the worst stem, against :attr:`instead`; None where the device did not run.
        reason: why that computes instead; empty where it does not.
        instead: the name of what the device is held against.
    """

    device: str
    used: str
    snr_db: float | None = None
    reason: str = ""
    instead: str = CPU.name

    @property
    def line(self) -> str:
        """The outcome in words; empty for the CPU."""
        instead = IN_WORDS[self.instead]
        if self.reason:
            return f"{self.device} is not used: {self.reason}; {instead} takes over"
        if self.snr_db is None:
            return ""
        figure = "exactly as" if math.isinf(self.snr_db) else f"{self.snr_db:.1f} dB SNR against"
        return f"{self.device}: {figure} {instead} on one segment"


def open_healthy(
    path: Path, threads: int | None, name: str, runtime: str = ONNXRUNTIME
) -> tuple[Graph, Health]:
    """Open an artifact on a device, or else with ONNX Runtime's CPU.

    Args:
        path: an ``.onnx`` or ``.ort`` file.
        threads: how many an operator may use; those of :func:`~.cores.usable_cores` when None.
        name: of the device; see :func:`~.devices.find_device`.
        runtime: of :data:`~.openvino.RUNTIMES`.

    Raises:
        CompilerError: the artifact cannot be opened.
        UsageError: there is no such device or runtime, or it is not installed; or they exclude each other.
    """
    device = chosen_device(runtime, name, path)
    if device is CPU:
        return Graph(path, threads), Health(device.name, device.name)
    key = _key(path, device)
    known = _remembered().get(key)
    reason = _reason(device, known) if known is not None else ""
    if not reason:
        try:
            graph = Graph(path, threads, device)
            if known is None:
                known = agreement_db(graph, Graph(path, threads))
                _remember(key, known)
            reason = _reason(device, known)
            if not reason:
                return graph, Health(device.name, device.name, known, instead=device.instead)
        except DeviceError as error:
            reason = str(error)
    return Graph(path, threads), Health(device.name, device.instead, known, reason, device.instead)


def _reason(device: Device, snr: float) -> str:
    if nan_lowest(snr) >= device.floor_db:
        return ""
    against = IN_WORDS[device.instead]
    return f"its stems are {snr:.1f} dB SNR against {against}, and {device.floor_db:g} are needed"


def agreement_db(graph: Graph, reference: Graph) -> float:
    """SNR of the worst stem against another graph's, in dB.

    On one segment of noise and tones. The error of a stem that is absent is held against the mix. NaN where
    a sample is no number.

    Raises:
        DeviceError: the graph does not run.
    """
    mix = _probe(graph.metadata.audio_channels, graph.metadata.window, graph.metadata.sample_rate)
    try:
        found = graph.run(mix[None])[0]
    except CompilerError as error:
        raise DeviceError(str(error)) from error
    wanted = reference.run(mix[None])[0]
    return min((_stem_db(mix, *pair) for pair in zip(wanted, found, strict=True)), key=nan_lowest)


def _stem_db(mix: Audio, wanted: Audio, found: Audio) -> float:
    level = energy(mix)
    if to_mix_db(energy(wanted), level) < ABSENT_DB:
        return -to_mix_db(error_energy(wanted, found), level)
    return snr_db(wanted, found)


def _probe(channels: int, samples: int, rate: int) -> Audio:
    """A segment as models get them: zero mean, unit deviation, float32 ``[C, N]``."""
    time = np.arange(samples) / rate
    tones = np.sin(2 * np.pi * np.outer(110 * 2.0 ** np.arange(channels), time))
    signal = tones + np.random.default_rng(0).normal(0, 0.7, (channels, samples))
    probe: Audio = ((signal - signal.mean()) / signal.std()).astype(np.float32)
    return probe


def _key(path: Path, device: Device) -> str:
    """One digest of all that the outcome depends on."""
    if not path.is_file():
        raise CompilerError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    weights = path.with_name(f"{path.name}.data")
    files = [FileRecord.of(file).sha256 for file in (path, weights) if file.is_file()]
    told = [onnxruntime.__version__, device.version, platform.platform(), *_hardware(), *_drivers()]
    facts = [*files, device.name, device.provider, dict(device.options), *told]
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()


def _hardware() -> list[str]:
    try:
        found = onnxruntime.get_ep_devices()
    except Exception:  # noqa: BLE001 - of providers, whose errors share no narrower base
        return []
    return [f"{one.ep_name} {one.device.vendor_id} {one.device.device_id} {one.ep_metadata}" for one in found]


def _drivers() -> list[str]:
    drivers = []
    for name in DRIVERS:
        with suppress(OSError):
            drivers.append(Path(name).read_text(encoding="utf-8", errors="replace"))
    return drivers


def _file() -> Path:
    return cache_folder() / "devices.json"


def _remembered() -> dict[str, float]:
    """SNR by key; none where the file is missing or damaged."""
    try:
        found = json.loads(_file().read_text(encoding="utf-8"))
        return {str(key): float(value) for key, value in found.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _remember(key: str, snr: float) -> None:
    """Keep an outcome, if the cache can be written."""
    kept: Mapping[str, Any] = dict([*_remembered().items(), (key, snr)][-MOST_REMEMBERED:])
    temporary = _file().with_name(f".devices.{os.getpid()}.{secrets.token_hex(4)}.part")
    with suppress(OSError):
        temporary.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(kept), encoding="utf-8")
        temporary.replace(_file())

"""An artifact opened: from mixes to stems, whatever its interface and batch."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from onnx_demucs_compiler.artifact.metadata import OVERLAPPING, ArtifactMetadata
from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.runtime.devices import CPU, Device, open_session
from onnx_demucs_compiler.runtime.interfaces import HOSTS, Cut, host_side
from onnx_demucs_compiler.runtime.session import OwnThread, in_one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from onnx_demucs_compiler.runtime.audio import Audio
    from onnx_demucs_compiler.view.ports import Shape


class Graph:
    """One artifact in one session, checked against what it says of itself.

    Attributes:
        metadata: what the artifact says of itself.
        batch: the mixes that a run takes at most. A graph of open batch gets them one at a time: on a CPU
            more of them take about as long together as one by one, and more memory.
        takes_tracks: whether a mix is a track of any length, at its own level, and not a normalised segment.
    """

    def __init__(self, path: Path, threads: int | None = None, device: Device = CPU) -> None:
        """Open an artifact.

        Args:
            path: an ``.onnx`` or ``.ort`` file.
            threads: how many an operator may use; those of :func:`~.cores.usable_cores` when None.
            device: what runs it.

        Raises:
            CompilerError: the file is missing, no model, not this compiler's, no separator, or another graph
                than its metadata describes.
            DeviceError: the device does not run it.
        """
        self._own = OwnThread(partial(open_session, path, threads, device))
        ports, results, props = _declared(self._own.session, path)
        self.metadata = ArtifactMetadata.from_props(props)
        check_separator(self.metadata)
        self.batch = 1 if self.metadata.batch == "dynamic" else int(self.metadata.batch)
        self.takes_tracks = self.metadata.overlap is not None
        self._interface = host_side(self.metadata)
        self._check_ports("inputs", ports, self._interface.inputs)
        self._check_ports("outputs", results, self._interface.outputs)
        self._names = [port.name for port in ports]

    def run(self, mixes: Audio) -> Audio:
        """Separate mixes in one run.

        Args:
            mixes: float32 ``[B, C, N]``, :attr:`batch` of them at most; silence takes the place of the rest.

        Returns:
            float32 ``[B, S, C, N]``.

        Raises:
            CompilerError: the runtime fails.
        """
        count = len(mixes)
        filled = np.pad(mixes, ((0, self.batch - count), (0, 0), (0, 0)))
        feeds = dict(zip(self._names, self._interface.feeds(filled), strict=True))
        try:
            outputs = self._own.run(feeds)
        except CompilerError:  # of another runtime
            raise
        except Exception as error:  # onnxruntime's errors share no narrower base
            raise CompilerError(f"onnxruntime cannot run the model ({in_one_line(error)})") from error
        return self._interface.stems(outputs)[:count]

    def _check_ports(self, kind: str, ports: Sequence[Any], wanted: Mapping[str, Shape]) -> None:
        if not _fit(ports, wanted):
            found = ", ".join(f"{port.name} {_shown(port.shape)}" for port in ports)
            described = ", ".join(f"{name} {_shown(shape)}" for name, shape in wanted.items())
            raise CompilerError(
                f"the model's {kind} are {found}, and its metadata (interface {self.metadata.interface}, "
                f"batch {self.metadata.batch}) describes {described}; compile it again"
            )


def _declared(session: Any, path: Path) -> tuple[Sequence[Any], Sequence[Any], Mapping[str, str]]:
    """Inputs, outputs and metadata of a model.

    In a damaged file their texts may be any bytes.
    """
    try:
        ports, results = session.get_inputs(), session.get_outputs()
        for port in (*ports, *results):
            _ = port.name, port.shape
        return ports, results, session.get_modelmeta().custom_metadata_map
    except UnicodeDecodeError as error:
        raise CompilerError(f"{path} is damaged: its texts are not UTF-8; compile it again") from error


def check_separator(metadata: ArtifactMetadata) -> None:
    """Fail if the metadata lacks what separation needs.

    Raises:
        CompilerError: it does.
    """
    if metadata.interface not in HOSTS:
        raise CompilerError(
            f"this model has the interface {metadata.interface}, which this version of onnx-demucs does not "
            f"know; it knows {', '.join(HOSTS)}"
        )
    if metadata.batch != "dynamic" and not (metadata.batch.isdecimal() and int(metadata.batch) >= 1):
        raise CompilerError(
            f"the model's metadata gives the batch as {metadata.batch}, which is neither a number from 1 nor "
            "dynamic; compile it again"
        )
    if metadata.other_method and len(metadata.sources) != 2:
        raise CompilerError(
            f"the model's metadata names {len(metadata.sources)} stems, and other_method "
            f"{metadata.other_method} stands for two; compile it again"
        )
    if len(set(metadata.sources)) < len(metadata.sources):
        raise CompilerError(
            f"the model's metadata names a stem twice ({', '.join(metadata.sources)}); give each source "
            "a name of its own and compile it again"
        )
    needed = {
        "stems": len(metadata.sources),
        "sample rate": metadata.sample_rate,
        "channels": metadata.audio_channels,
        "segment": metadata.segment,
    }
    if issubclass(HOSTS[metadata.interface], Cut):
        needed["n_fft"] = metadata.n_fft // OVERLAPPING
    missing = [fact for fact, value in needed.items() if value < 1]
    if missing:
        raise CompilerError(
            f"the model's metadata has no {' and no '.join(missing)}, without which no song can be "
            "separated; compile a separator"
        )


def _fit(ports: Sequence[Any], wanted: Mapping[str, Shape]) -> bool:
    """True if ports match the description, in order.

    The only port of a side may have any name.
    """
    return len(ports) == len(wanted) and all(
        (port.name == name or len(ports) == 1) and _accepts(port.shape, shape)
        for port, (name, shape) in zip(ports, wanted.items(), strict=True)
    )


def _accepts(declared: Sequence[int | str | None], shape: Shape) -> bool:
    """True if each size is the one described, or open."""
    return len(declared) == len(shape) and all(
        size == wanted or not isinstance(size, int) for size, wanted in zip(declared, shape, strict=True)
    )


def _shown(shape: Sequence[int | str | None]) -> str:
    return f"[{', '.join(str(size) for size in shape)}]"

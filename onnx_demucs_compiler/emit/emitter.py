"""An emitter: from a lowered program to a file of another format."""

from __future__ import annotations

import importlib.util
import io
import json
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from onnx_demucs_compiler.view.ports import INTERFACES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from torch.export import ExportedProgram

    from onnx_demucs_compiler.building import Lowered
    from onnx_demucs_compiler.targets import Target

    Arrays = list[NDArray[Any]]
    Run = Callable[[Arrays], Arrays]
    """From inputs to outputs, both in their order."""

    Content = bytes | Mapping[str, bytes]
    """A file, or the files of a folder by their paths in it."""


METADATA = "onnx_demucs.json"
"""The file with an artifact's metadata in formats that hold files, an object of texts."""


def as_json(metadata: Mapping[str, str]) -> str:
    """The content of :data:`METADATA`."""
    return json.dumps(metadata, indent=2)


def from_archive(content: bytes) -> dict[str, str]:
    """The metadata in an archive, or behind a model.

    Raises:
        zipfile.BadZipFile: the content is neither.
        ValueError: it holds no metadata.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        [name] = [name for name in archive.namelist() if name.rpartition("/")[2] == METADATA]
        found: dict[str, str] = json.loads(archive.read(name))
    return found


class Names(NamedTuple):
    """The names of inputs and of outputs, each in order."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @classmethod
    def of_interface(cls, name: str) -> Names:
        """The names that every separator with an interface has."""
        ports = INTERFACES[name]
        return cls(tuple(port.name for port in ports.inputs), tuple(port.name for port in ports.outputs))

    @classmethod
    def of(cls, lowered: Lowered) -> Names:
        """The names of a program's ports.

        A waveform and stems have those of every artifact; the outputs of other modules are numbered.
        """
        if lowered.view.outputs:
            return cls(lowered.inputs, lowered.view.outputs)
        values = {node.name: node.meta.get("val") for node in lowered.program.graph.nodes}
        signature = lowered.program.graph_signature
        shapes = [
            [values[name].shape for name in ports]
            for ports in (signature.user_inputs, signature.user_outputs)
        ]
        if [[len(shape) for shape in ports] for ports in shapes] == [[3], [4]]:
            return cls.of_interface("waveform")
        return cls(lowered.inputs, tuple(f"output_{index}" for index in range(len(shapes[1]))))


class Converted(NamedTuple):
    """A program in another format.

    Attributes:
        content: to be written.
        operators: how often each stands in it, by the format's own names.
    """

    content: Content
    operators: Mapping[str, int]


@dataclass(frozen=True)
class Emitter:
    """A format that a lowered program can become.

    Attributes:
        target: whose rules apply; its name is the suffix.
        convert: makes it of a program, which it may change, the names of its ports, and metadata as texts.
        open: opens it to be run, with the names of its ports; ``None`` where that takes another system.
        read: the metadata in it; raises whatever it likes where there is none.
        packages: the tools, by import name as keys and by their names on PyPI.
        extra: of this package, that installs them.
        open_sizes: whether sizes may stay open.
    """

    target: Target
    convert: Callable[[ExportedProgram, Names, Mapping[str, str]], Converted]
    open: Callable[[Any, Names], Run] | None
    read: Callable[[Any], Mapping[str, str]] = from_archive
    packages: Mapping[str, str] = field(default_factory=dict)
    extra: str = ""
    open_sizes: bool = False

    def missing(self) -> list[str]:
        """The packages that are not installed, by their names on PyPI."""
        return [
            package for module, package in self.packages.items() if importlib.util.find_spec(module) is None
        ]

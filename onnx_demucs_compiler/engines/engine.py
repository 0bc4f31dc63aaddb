"""An engine: a program that runs ONNX files, converted or not."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]
    Outputs = Sequence[NDArray[Any]]
    Run = Callable[[Arrays], Outputs]
    """From the inputs by name to the outputs in their order."""


@dataclass(frozen=True)
class Task:
    """A file to be opened.

    Attributes:
        model: the ``.onnx`` file.
        shapes: of its inputs, by name, without open sizes.
        outputs: names, in order.
        threads: how many the engine may compute with.
        converted: a file for what an engine converts the model into, which goes with the process.
    """

    model: Path
    shapes: Mapping[str, tuple[int, ...]]
    outputs: tuple[str, ...]
    threads: int
    converted: Path


@dataclass(frozen=True)
class Engine:
    """An engine as ``verify --engine`` knows it.

    Attributes:
        name: as the command line has it.
        packages: on PyPI; any of them brings the engine, and the first is the one to install.
        requirements: what ``pip install`` takes, in the versions that the adapter was written for.
        open: opens a file and returns a function that runs it.
        settings: those that decide whether it is right, as the engine calls them.
        min_snr_db: the default gate against ONNX Runtime, in dB.
    """

    name: str
    packages: tuple[str, ...]
    requirements: tuple[str, ...]
    open: Callable[[Task], Run]
    settings: Mapping[str, str] = field(default_factory=dict)
    min_snr_db: float = 90.0

    def installed_version(self) -> str | None:
        """The version in this process' environment."""
        for package in self.packages:
            try:
                return version(package)
            except PackageNotFoundError:
                continue
        return None

    @property
    def pip_line(self) -> str:
        """The command that installs the engine."""
        return f"pip install {' '.join(self.requirements)}"

"""Other engines than ONNX Runtime: the same file in each of them.

One file, one engine. An engine runs in a process of its own (:mod:`~.process`), which may have another Python
environment, so that adapters import numpy and their engine alone, and these inside their functions.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from onnx_demucs_compiler.engines import iree, mnn, onnxruntime, opencv, openvino, tract
from onnx_demucs_compiler.errors import UsageError

if TYPE_CHECKING:
    from onnx_demucs_compiler.engines.engine import Engine

ONNXRUNTIME = onnxruntime.ENGINE
"""What the others are compared with."""

ENGINES = {
    engine.name: engine for engine in (openvino.ENGINE, tract.ENGINE, opencv.ENGINE, mnn.ENGINE, iree.ENGINE)
}
"""Every engine that ``verify --engine`` takes, by name."""

ALL = ENGINES | {ONNXRUNTIME.name: ONNXRUNTIME}

ENVIRONMENTS = "ONNX_DEMUCS_ENGINES"
"""The environment variable with the path of a folder of virtual environments, each called as its engine."""


def engine_named(name: str) -> Engine:
    """An engine by its name.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in ENGINES:
        raise UsageError(f"unknown engine {name}; known: {', '.join(ENGINES)}")
    return ENGINES[name]


def interpreter(name: str) -> str:
    """The Python in which an engine runs.

    That of its environment under :data:`ENVIRONMENTS`, if there is one, else this process' own.
    """
    folder = Path(os.environ.get(ENVIRONMENTS, os.devnull), name).absolute()
    programs = (folder / "bin" / "python", folder / "Scripts" / "python.exe", Path(sys.executable))
    return str(next(program for program in programs if program.exists()))

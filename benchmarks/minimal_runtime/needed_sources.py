"""Source files of kernels that a config has no use for.

ONNX Runtime compiles every kernel and lets the linker drop those that the config does not register. Not
compiling them gives the same library in half the time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ops_config import operators

if TYPE_CHECKING:
    from pathlib import Path

KERNELS = ("core/providers/cpu", "contrib_ops/cpu")
REGISTRATION = re.compile(r"\b[A-Z_0-9]*(?:KERNEL|REG)[A-Z_0-9]*\s*\(([^;{}]*?)\)")
NAME = re.compile(r"\b[A-Z]\w*[a-z]\w*\b|\b[A-Z]{3,4}\b")

CALLS = {"MatMul": "Gemm"}
"""Operators whose kernels call functions that lie beside the kernels of others."""

EXTENDED = frozenset({"DequantizeLinear", "Identity", "QuantizeLinear", "Squeeze"})
"""What an extended minimal build registers whatever the config says, for its changes of layout."""


def unneeded(onnxruntime: Path, config: Path, *, extended: bool = False) -> list[Path]:
    """The files that register kernels of no operator in ``config``.

    Those that the kind of build needs are not among them.

    A file that registers none helps those beside it, and is left out where they all are.
    """
    needed = operators(config.read_text())
    needed |= EXTENDED if extended else set()
    needed |= {called for operator, called in CALLS.items() if operator in needed}
    root = onnxruntime / "onnxruntime"
    registered = {
        file: _registered(file.read_text())
        for folder in KERNELS
        for file in sorted((root / folder).rglob("*.cc"))
    }
    in_folder: dict[Path, set[str]] = {}
    for file, names in registered.items():
        in_folder.setdefault(file.parent, set()).update(names)
    return [
        file
        for file, names in registered.items()
        if (names or in_folder[file.parent]) and not (names or in_folder[file.parent]) & needed
    ]


def _registered(source: str) -> set[str]:
    return {name for words in REGISTRATION.findall(source) for name in NAME.findall(words)}

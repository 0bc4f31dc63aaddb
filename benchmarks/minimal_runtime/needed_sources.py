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


def unneeded(onnxruntime: Path, config: Path) -> list[Path]:
    """The files that register kernels, but none of an operator that ``config`` names."""
    needed = operators(config.read_text())
    root = onnxruntime / "onnxruntime"
    files = sorted(file for folder in KERNELS for file in (root / folder).rglob("*.cc"))
    return [file for file in files if not _may_be_needed(file.read_text(), needed)]


def _may_be_needed(source: str, needed: set[str]) -> bool:
    registered = {name for words in REGISTRATION.findall(source) for name in NAME.findall(words)}
    return not registered or bool(registered & needed)

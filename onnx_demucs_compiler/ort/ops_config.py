"""The reduced-operator config, which tells ONNX Runtime's build what models need."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from onnx_demucs_compiler._version import __version__
from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.ort.conversion import LEVEL, STYLE
from onnx_demucs_compiler.ort.kernels import kept, resolved
from onnx_demucs_compiler.ort.tools import create_config_from_models

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from onnx_demucs_compiler.ort.kernels import Kernels

HEADER = f"""\
# onnx-demucs-compiler {__version__}: operators and types of models in ORT format.
# Converted from ONNX with optimisation level {LEVEL}, optimisation style {STYLE}.
"""

SHOWN = 5
"""Differences in one message."""


def ops_config(models: Sequence[bytes | memoryview]) -> bytes:
    """The reduced-operator config of ORT-format models, checked against them.

    Args:
        models: contents of ``.ort`` files, or maps of them. All at once: types of two configs cannot be
            joined by listing both, because the build heeds the last entry of an operator only.

    Returns:
        What goes into a ``.required_operators_and_types.config`` file.
    """
    config = _generated(models)
    check_ops_config(config, models)
    return config


def _generated(models: Sequence[bytes | memoryview]) -> bytes:
    """The config as ONNX Runtime's tool writes it, without paths in comments."""
    with tempfile.TemporaryDirectory(prefix="onnx-demucs-ort-") as folder:
        paths = [Path(folder, f"{index}.ort") for index in range(len(models))]
        for path, model in zip(paths, models, strict=True):
            path.write_bytes(model)
        written = Path(folder, "generated.config")
        create_config_from_models(paths, written, enable_type_reduction=True)
        lines = written.read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join([HEADER, *(line for line in lines if not line.startswith("#"))]).encode()


def check_ops_config(config: bytes, models: Sequence[bytes | memoryview]) -> None:
    """Fail if a config keeps too few or too many kernels.

    Raises:
        CompilerError: it is no config, or lacks an operator, version or type, or has one too many.
    """
    found = list(_differences(kept(config), resolved(models), kept(_generated(models))))
    if found:
        more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise CompilerError(f"the reduced-operator config {'; '.join(found[:SHOWN])}{more}")


def _differences(config: Kernels, needed: Kernels, generated: Kernels) -> Iterator[str]:
    """In words, what a config should say otherwise.

    Args:
        config: what it keeps.
        needed: what the models' nodes resolve to.
        generated: what ONNX Runtime's tool would keep, which shows whose types a build can restrict.
    """
    for operator in sorted(needed.operators - config.operators):
        yield f"lacks {operator}"
    for operator in sorted(config.operators - needed.operators):
        yield f"has {operator}, which nothing uses"
    for argument in sorted({*generated.types, *config.types}):
        listed = config.types.get(argument, frozenset())
        used = needed.types.get(argument, frozenset())
        for name in sorted(used - listed):
            yield f"does not list {name} for {argument}"
        for name in sorted(listed - used):
            yield f"lists {name} for {argument}, which nothing uses"

"""Contracts: the demands of runtimes and clients on an artifact.

They are checked without the model that it came from.

One file is one contract: its demands as data, and small checks over an :class:`~.artifact.Artifact`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from onnx_demucs_compiler.contracts import engine, minimal, official, openkara, portable, web
from onnx_demucs_compiler.contracts.reading import read_artifact
from onnx_demucs_compiler.engines import ENGINES
from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.targets import EMITTED_FOR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from onnx_demucs_compiler.contracts.artifact import Artifact
    from onnx_demucs_compiler.contracts.finding import Finding

CONTRACTS: dict[str, Callable[[Artifact], Iterator[Finding]]] = {
    "portable": portable.check,
    "official": official.check,
    "minimal": minimal.check,
    "openkara": openkara.check,
    "web": web.check,
    **{name: partial(engine.check, name) for name in ENGINES},
}
"""Every contract by name."""

PROVIDERS: dict[str, Callable[[Artifact], tuple[str, ...]]] = {"web": web.providers}
"""For contracts of runtimes with several execution providers, those that run all of a file."""


def check_names(names: Sequence[str]) -> None:
    """Fail early if a contract does not exist.

    Raises:
        UsageError: one does not.
    """
    for name in names:
        if name in EMITTED_FOR:
            raise UsageError(
                f"{name} reads no ONNX graph, which is what contracts are about; compile with "
                f"--emit {EMITTED_FOR[name]}, whose files verify measures where {name} runs"
            )
        if name not in CONTRACTS:
            raise UsageError(f"unknown contract {name}; known: {', '.join(CONTRACTS)}")


def lint(path: Path, names: Sequence[str]) -> dict[str, tuple[Finding, ...]]:
    """Check an artifact against contracts.

    Args:
        path: an ``.onnx`` or ``.ort`` file.
        names: of :data:`CONTRACTS`.

    Returns:
        What each contract finds, violations first; nothing where all is well.

    Raises:
        UsageError: there is no such contract.
        CompilerError: the file is missing or is no model.
    """
    check_names(names)
    return findings_in(read_artifact(path), names)


def findings_in(artifact: Artifact, names: Sequence[str]) -> dict[str, tuple[Finding, ...]]:
    """The findings of contracts in a file that :func:`lint` would read."""
    return {
        name: tuple(sorted(CONTRACTS[name](artifact), key=lambda finding: not finding.breaks))
        for name in dict.fromkeys(names)
    }

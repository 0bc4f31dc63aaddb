"""Contracts: what a runtime, or a client, demands of an artefact, checked without the model it came from.

One file is one contract: its demands as data, and small checks over an :class:`~.artefact.Artefact`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_compiler.contracts import minimal, official, openkara, web
from onnx_demucs_compiler.contracts.artefact import read_artefact
from onnx_demucs_compiler.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from onnx_demucs_compiler.contracts.artefact import Artefact
    from onnx_demucs_compiler.contracts.finding import Finding

CONTRACTS: dict[str, Callable[[Artefact], Iterator[Finding]]] = {
    "official": official.check,
    "minimal": minimal.check,
    "openkara": openkara.check,
    "web": web.check,
}
"""Every contract by name."""


def check_names(names: Sequence[str]) -> None:
    """See to it early that contracts exist.

    Raises:
        UsageError: one does not.
    """
    for name in names:
        if name not in CONTRACTS:
            raise UsageError(f"there is no contract {name}; there are {', '.join(CONTRACTS)}")


def lint(path: Path, names: Sequence[str]) -> dict[str, tuple[Finding, ...]]:
    """Check an artefact against contracts.

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
    artefact = read_artefact(path)
    return {
        name: tuple(sorted(CONTRACTS[name](artefact), key=lambda finding: not finding.breaks))
        for name in dict.fromkeys(names)
    }

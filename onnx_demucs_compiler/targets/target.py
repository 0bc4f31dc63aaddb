"""A target: for whom a graph is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Target:
    """A family of runtimes that an artifact is made for.

    Attributes:
        name: as the command line has it.
        domains: of the operators that rules may put into the ONNX graph; none where there is no such graph.
        contract: what every artifact for the target keeps, by its name in
            :data:`onnx_demucs_compiler.contracts.CONTRACTS`; empty where that is no ONNX file.
        why: who takes such a file.
        tuned_for: the runtime whose speed and memory its rules were measured in; empty for none.
        precision: how weights are stored unless asked for; in half precision only what it says exactly.
        precisions: all that can be asked for.
        external_data: whether weights lie in a file of their own unless asked for.
        engine: what its files are measured in, as ``verify --engine`` has it, where that is not ONNX Runtime
            alone; empty for none.
        refuses: options that no artifact for the target can have, each with the reason.
    """

    name: str
    domains: frozenset[str]
    contract: str
    why: str
    tuned_for: str = ""
    precision: str = "fp32"
    precisions: tuple[str, ...] = ("fp32", "fp16-weights", "int8")
    external_data: bool = False
    engine: str = ""
    refuses: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return self.name

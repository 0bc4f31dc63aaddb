"""``openkara``: the interface and metadata of OpenKara's client, contract v1.

Names, order and shapes as that project's models have them: the host computes a spectrum of 2048 bins and 336
frames for a mix of 343980 samples in stereo, real and imaginary parts on an axis of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_compiler.contracts.finding import violation
from onnx_demucs_compiler.contracts.official import FORBIDDEN, check_one_file
from onnx_demucs_compiler.view.ports import INTERFACES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from onnx_demucs_compiler.contracts.artifact import Artifact, Shape, Value
    from onnx_demucs_compiler.contracts.finding import Finding

VERSION = "v1"
SIZES: dict[str, int | str] = {"B": 1, "S": "stems", "C": 2, "N": 343980, "F": 2048, "T": 336}
PORTS = INTERFACES["openkara"]
INPUTS: dict[str, Shape] = {port.name: port.shape(SIZES) for port in PORTS.inputs}
OUTPUTS: dict[str, Shape] = {port.name: port.shape(SIZES) for port in PORTS.outputs}
KEYS = ("model_cache_key", "optimized_by", "spectral_contract", "tensor_interface", "stem_profile",
        "input_semantics", "output_semantics")  # fmt: skip


def check(artifact: Artifact) -> Iterator[Finding]:
    """Whatever OpenKara's client would stumble over."""
    yield from _check_ports("input", artifact.inputs, INPUTS)
    yield from _check_ports("output", artifact.outputs, OUTPUTS)
    yield from _check_metadata(artifact)
    yield from check_one_file(artifact)
    blocked = [node for node in artifact.nodes if node.domain == FORBIDDEN]
    if blocked:
        yield violation(f"{FORBIDDEN}: ONNX Runtime on Apple silicon cannot load it", blocked)


def _check_ports(kind: str, found: Mapping[str, Value], wanted: Mapping[str, Shape]) -> Iterator[Finding]:
    if list(found) != list(wanted):
        yield violation(f"{kind}s are {', '.join(found) or 'none'}; the contract has {', '.join(wanted)}")
    for name in wanted.keys() & found.keys():
        value = found[name]
        if value.type != "float":
            yield violation(f"{kind} {name} is of {value.type}; the contract has float")
        if not _fits(value.shape, wanted[name]):
            yield violation(
                f"{kind} {name} is {_shown(value.shape)}; the contract has {_shown(wanted[name])}"
            )


def _fits(shape: Shape | None, wanted: Shape) -> bool:
    """True if each size is the one required, stems apart."""
    return (
        shape is not None
        and len(shape) == len(wanted)
        and all(
            size == want or (want == "stems" and isinstance(size, int) and size > 0)
            for size, want in zip(shape, wanted, strict=True)
        )
    )


def _shown(shape: Shape | None) -> str:
    return "of no declared shape" if shape is None else f"[{', '.join(map(str, shape))}]"


def _check_metadata(artifact: Artifact) -> Iterator[Finding]:
    facts = {key: artifact.metadata.get(f"openkara.{key}", "") for key in KEYS}
    missing = [f"openkara.{key}" for key, value in facts.items() if not value]
    if missing:
        yield violation(f"the metadata lacks {', '.join(missing)}")
    version = facts["spectral_contract"]
    if version and version != VERSION:
        yield violation(f"openkara.spectral_contract is {version}; the contract is {VERSION}")
    shapes = [value.shape for name, value in artifact.outputs.items() if name in OUTPUTS]
    stems = {shape[1] for shape in shapes if shape is not None and len(shape) > 1}
    named = len(facts["stem_profile"].split(","))
    if facts["stem_profile"] and stems and stems != {named}:
        yield violation(f"openkara.stem_profile names {named} stems; the outputs have "
                        f"{', '.join(sorted(map(str, stems)))}")  # fmt: skip

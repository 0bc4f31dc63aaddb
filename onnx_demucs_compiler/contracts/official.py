"""``official``: runs in every CPU package of ONNX Runtime since :data:`FLOOR`.

The processor makes no difference.

What those packages have is measured (:mod:`~onnx_demucs_compiler.contracts.kernels`). Operators of
``com.microsoft.nchwc`` are what ONNX Runtime itself puts into a graph for the processor that it runs on; it
has them only where its blocked convolutions exist, and packages for Apple silicon refuse a file that names
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_compiler.contracts.artifact import AI_ONNX
from onnx_demucs_compiler.contracts.finding import note, violation
from onnx_demucs_compiler.contracts.kernels import runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx_demucs_compiler.contracts.artifact import Artifact, Node
    from onnx_demucs_compiler.contracts.finding import Finding

FLOOR = "1.16.3"
FORBIDDEN = "com.microsoft.nchwc"
OLDEST_OPSET = 7
"""docs/Versioning.md of ONNX Runtime: every release runs opsets from 7 on."""


def check(artifact: Artifact) -> Iterator[Finding]:
    """Whatever keeps an artifact from running in an official package."""
    yield from check_operators(artifact, FLOOR)
    if artifact.format == "onnx":
        yield from check_versions(artifact, FLOOR)
    yield from check_one_file(artifact)
    contrib = [node for node in artifact.nodes if node.domain == "com.microsoft"]
    if contrib:
        yield note("operators of com.microsoft run in ONNX Runtime only, no other ONNX runtime", contrib)


def check_operators(artifact: Artifact, floor: str, package: str = "ONNX Runtime") -> Iterator[Finding]:
    """Every node finds a kernel in the CPU provider of a release."""
    for first, nodes in artifact.by_operator().items():
        reason = _missing(first, floor, package)
        if reason:
            yield violation(f"{first.operator} {reason}", nodes)


def _missing(node: Node, floor: str, package: str) -> str | None:
    official = runtime("official")
    if node.domain == FORBIDDEN:
        return "is made for one kind of processor, and packages for others refuse it; save without optimising"
    since = official.first_with(node)
    if since is None:
        what = "" if official.has_domain(node.domain) else f", which has no operator of {node.domain}"
        return f"is registered by no release of {package}{what}"
    if official.later(since, floor):
        return f"needs {package} >= {since}; the contract is {floor}"
    return None


def check_versions(artifact: Artifact, floor: str, package: str = "ONNX Runtime") -> Iterator[Finding]:
    """A release opens the opset and the IR version."""
    official = runtime("official")
    opset = artifact.opsets.get(AI_ONNX)
    if opset is None and any(node.domain == AI_ONNX for node in artifact.nodes):
        yield violation("the file declares no opset of ai.onnx")
    if opset is not None and opset < OLDEST_OPSET:
        yield violation(f"opset {opset} is older than {OLDEST_OPSET}, the first that {package} runs")
    for what, kind, version in (("opset", "opset", opset or 0), ("IR version", "ir", artifact.ir_version)):
        since = official.first_to_open(kind, version)
        if since is None:
            yield violation(f"{what} {version} is newer than {package} {official.newest()} opens")
        elif official.later(since, floor):
            yield violation(f"{what} {version} needs {package} >= {since}; the contract is {floor}")


def check_one_file(artifact: Artifact) -> Iterator[Finding]:
    """The artifact is whole without a second file."""
    external = [name for name, weight in artifact.weights.items() if weight.external]
    if external:
        yield violation(
            f"{len(external)} weights lie in another file, such as {external[0]}; save as one file"
        )

"""``web``: runs in onnxruntime-web from :data:`FLOOR` on, in WebAssembly, and on WebGPU without leaving it.

onnxruntime-web has two WebGPU providers: one in TypeScript behind ``import "onnxruntime-web"`` (JSEP, being
replaced: docs/JSEP_Deprecation.md of ONNX Runtime), one in C++ behind ``onnxruntime-web/webgpu``. A node
that either of them has no kernel for runs in WebAssembly, and its tensors travel from the GPU and back;
kernels are measured (:mod:`~onnx_demucs_compiler.contracts.kernels`). Arithmetic on shapes (int64) is done on
the CPU by design and only noted.

The limits of size are of https://onnxruntime.ai/docs/tutorials/web/large-models.html: Chrome's largest
ArrayBuffer is 0x7fe00000 bytes, and WebAssembly addresses 4 GB. WebGPU's own limits are of
https://www.w3.org/TR/webgpu/#limits.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from onnx_demucs_compiler.contracts.finding import Finding, note, violation
from onnx_demucs_compiler.contracts.kernels import runtime
from onnx_demucs_compiler.contracts.official import check_one_file, check_operators, check_versions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx_demucs_compiler.contracts.artefact import Artefact, Node

FLOOR = "1.20.1"
PACKAGE = "onnxruntime-web"
ARRAY_BUFFER = 0x7FE00000
HEAP = 4 * 2**30
BINDING = 128 * 2**20
"""maxStorageBufferBindingSize that every device has; most have more."""
REAL = frozenset({"float", "float16"})
PROVIDERS = {"jsep": PACKAGE, "webgpu": f"{PACKAGE}/webgpu"}


def check(artefact: Artefact) -> Iterator[Finding]:
    """What keeps an artefact from running in a browser, or slows it down there."""
    yield from check_operators(artefact, FLOOR, PACKAGE)
    if artefact.format == "onnx":
        yield from check_versions(artefact, FLOOR, PACKAGE)
    yield from check_one_file(artefact)
    yield from _check_webgpu(artefact)
    yield from _check_sizes(artefact)


def _check_webgpu(artefact: Artefact) -> Iterator[Finding]:
    """Nodes on real numbers have a kernel in both providers."""
    on_cpu: list[Node] = []
    for first, nodes in artefact.by_operator().items():
        reasons = [reason for provider in PROVIDERS if (reason := _missing(first, provider))]
        real = [node for node in nodes if _is_real(artefact, node)]
        if reasons and real:
            yield violation(f"{first.operator} has no WebGPU kernel: {'; '.join(reasons)}", real)
        on_cpu += [node for node in nodes if not _is_real(artefact, node)]
    if on_cpu:
        yield note("whole numbers, such as shapes: these nodes are computed on the CPU", on_cpu)


def _missing(node: Node, provider: str) -> str | None:
    known = runtime(provider)
    since = known.first_with(node)
    if since is None:
        return f"none in {PROVIDERS[provider]}"
    if provider == "jsep" and known.later(since, FLOOR):
        return f"in {PROVIDERS[provider]} from {since} on; the contract is {FLOOR}"
    return None


def _is_real(artefact: Artefact, node: Node) -> bool:
    """Whether a node computes with real numbers; one of which nothing is told counts as if it did."""
    values = [artefact.find(name) for name in (*node.inputs, *node.outputs) if name]
    kinds = {value.type for value in values if value is not None and value.type != "undefined"}
    return not kinds or bool(kinds & REAL)


def _check_sizes(artefact: Artefact) -> Iterator[Finding]:
    if artefact.bytes > ARRAY_BUFFER:
        yield violation(f"{artefact.bytes / 1e9:.1f} GB of file; Chrome's largest ArrayBuffer is 2.1 GB")
    weights = sum(weight.bytes or 0 for weight in artefact.weights.values())
    live = most_alive(artefact)
    needed = artefact.bytes + weights + live
    if needed > HEAP:
        yield violation(
            f"at least {needed / 2**30:.1f} GiB of heap (file, weights, and {live / 2**30:.1f} GiB of "
            "tensors alive at once); WebAssembly has 4 GiB"
        )
    large = [name for name, value in artefact.values.items()
             if value.type in REAL and (value.bytes or 0) > BINDING]  # fmt: skip
    if large:
        yield Finding("tensors over 128 MiB, the largest binding that every WebGPU device has", tuple(large),
                      breaks=False)  # fmt: skip


def most_alive(artefact: Artefact) -> int:
    """The most bytes of values that are needed at once, node after node, as far as sizes are told."""
    readers = Counter(name for node in artefact.nodes for name in set(node.inputs))
    kept = set(artefact.inputs) | set(artefact.outputs) | set(artefact.weights)
    sizes = {name: value.bytes or 0 for name, value in artefact.values.items() if name not in kept}
    ports = sum(value.bytes or 0 for group in (artefact.inputs, artefact.outputs) for value in group.values())
    alive = most = 0
    for node in artefact.nodes:
        alive += sum(sizes.get(name, 0) for name in node.outputs)
        most = max(most, alive)
        for name in set(node.inputs):
            readers[name] -= 1
            if readers[name] == 0:
                alive -= sizes.get(name, 0)
    return ports + most

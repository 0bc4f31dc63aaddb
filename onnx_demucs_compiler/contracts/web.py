"""``web``: runs in onnxruntime-web from :data:`FLOOR` on.

It does so in WebAssembly, and on WebGPU without leaving it.

onnxruntime-web has two WebGPU providers: one in TypeScript behind ``import "onnxruntime-web"`` (JSEP, being
replaced: docs/JSEP_Deprecation.md of ONNX Runtime), one in C++ behind ``onnxruntime-web/webgpu``. A node
that either of them has no kernel for runs in WebAssembly, and its tensors travel from the GPU and back;
kernels are measured (:mod:`~onnx_demucs_compiler.contracts.kernels`), and so is what each provider makes of
a form (``engines/web-PROVIDER.json``, by ``benchmarks/browser/probe.py`` in a real browser). Arithmetic on
shapes (int64) is done on the CPU by design and only noted, and what is constant is computed when the file is
loaded, and asks for nothing. A graph with arithmetic of eight bits, which has no WebGPU kernel at all, is for
WebAssembly alone.

The limits of size are of https://onnxruntime.ai/docs/tutorials/web/large-models.html: Chrome's largest
ArrayBuffer is 0x7fe00000 bytes, and WebAssembly addresses 4 GB. WebGPU's own limits are of
https://www.w3.org/TR/webgpu/#limits.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from onnx_demucs_compiler.contracts.artifact import AI_ONNX
from onnx_demucs_compiler.contracts.engine import RIGHT, table
from onnx_demucs_compiler.contracts.finding import Finding, note, violation
from onnx_demucs_compiler.contracts.forms import CONTROL_FLOW, Facts, forms
from onnx_demucs_compiler.contracts.kernels import NEVER_RUN, runtime
from onnx_demucs_compiler.contracts.official import check_operators, check_versions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from onnx_demucs_compiler.contracts.artifact import Artifact, Node, Value

FLOOR = "1.20.1"
PACKAGE = "onnxruntime-web"
ARRAY_BUFFER = 0x7FE00000
HEAP = 4 * 2**30
BINDING = 128 * 2**20
"""maxStorageBufferBindingSize that every device has; most have more."""
BUFFERS = 8
"""maxStorageBuffersPerShaderStage that every device has, and that the provider in TypeScript asks for."""
REAL = frozenset({"float", "float16"})
PROVIDERS = {"wasm": f"{PACKAGE}/wasm", "jsep": PACKAGE, "webgpu": f"{PACKAGE}/webgpu"}
EIGHT_BITS = frozenset(
    {
        "ConvInteger",
        "DynamicQuantizeLinear",
        "MatMulInteger",
        "QLinearConv",
        "QLinearMatMul",
        "QuantizeLinear",
    }
)
"""Arithmetic that the CPU has and neither WebGPU provider does."""
ON_THE_CPU = "on the CPU"
"""Right, but left to WebAssembly; of that :mod:`~onnx_demucs_compiler.contracts.kernels` tells by release."""
REMEDIES = {
    "Slice: backwards": "turn by Gather, or leave a reflection to Pad; --target web does",
    "com.microsoft.MultiHeadAttention": "write it as MatMul and Softmax, as --target web does",
}
"""Forms that compute the same and are right in every provider."""
SPELLED_OUT = ("dilations", "strides")
"""Attributes of a convolution whose defaults the provider in TypeScript does not know."""


def check(artifact: Artifact) -> Iterator[Finding]:
    """Whatever keeps an artifact from running in a browser, or slows it."""
    yield from check_operators(artifact, FLOOR, PACKAGE)
    if artifact.format == "onnx":
        yield from check_versions(artifact, FLOOR, PACKAGE)
    yield from _check_seen(artifact, ("wasm",))
    eight_bits = [node for node in artifact.nodes if node.op in EIGHT_BITS]
    if eight_bits:
        yield note(
            "arithmetic of eight bits, which no WebGPU provider has: for WebAssembly alone", eight_bits
        )
    else:
        yield from _check_webgpu(artifact)
    yield from _check_sizes(artifact)


def providers(artifact: Artifact) -> tuple[str, ...]:
    """The execution providers that run all of a graph, fastest first."""
    on_gpu = not any(finding.breaks for finding in _check_webgpu(artifact))
    return ("webgpu", "wasm") if on_gpu else ("wasm",)


def _check_webgpu(artifact: Artifact) -> Iterator[Finding]:
    """Real arithmetic stays on the GPU in both providers, and is right."""
    yield from _check_seen(artifact, ("jsep", "webgpu"))
    constants = _constants(artifact)
    run = [node for node in artifact.nodes if not constants.issuperset(node.outputs)]
    real = [node for node in run if _is_real(artifact, node)]
    yield from _check_kernels(real)
    crowded = [node for node in real if _buffers(artifact, node, constants) > BUFFERS]
    if crowded:
        yield violation(
            f"more than {BUFFERS} tensors at one node, and WebGPU guarantees {BUFFERS} buffers to a shader: "
            "zeros, or an error; cut it in a tree",
            crowded,
        )
    terse = [node for node in real if artifact.format == "onnx" and _is_terse(node)]
    if terse:
        yield violation(f"a convolution without {' or '.join(SPELLED_OUT)}; write the defaults out", terse)
    large = [name for name, value in _tensors(artifact).items()
             if value.type in REAL and (value.bytes or 0) > BINDING]  # fmt: skip
    if large:
        yield Finding("tensors over 128 MiB, the largest binding that every WebGPU device has", tuple(large))
    on_cpu = [node for node in run if not _is_real(artifact, node)]
    if on_cpu:
        yield note("whole numbers, such as shapes: these nodes are computed on the CPU", on_cpu)


def _check_seen(artifact: Artifact, asked: Collection[str]) -> Iterator[Finding]:
    """Forms that a browser was seen to refuse or mistake."""
    if artifact.format != "onnx":  # ORT format keeps attributes elsewhere
        return
    for form, nodes in forms(artifact).items():
        seen = {}
        for provider in asked:
            version, verdicts = table(f"web-{provider}")
            verdict = verdicts.get(form, RIGHT)
            if verdict not in (RIGHT, ON_THE_CPU):
                seen[f"{PROVIDERS[provider]} {version}"] = verdict
        if seen:
            told = ", ".join(f"{verdict} in {title}" for title, verdict in seen.items())
            yield violation(f"{form} is {told}; {REMEDIES.get(form, 'no other form is known to do')}", nodes)


def _check_kernels(nodes: list[Node]) -> Iterator[Finding]:
    groups: dict[str, list[Node]] = {}
    for node in nodes:
        groups.setdefault(node.operator, []).append(node)
    for operator, alike in groups.items():
        reasons = [reason for provider in ("jsep", "webgpu") if (reason := _missing(alike[0], provider))]
        if reasons:
            yield violation(f"{operator} has no WebGPU kernel: {'; '.join(reasons)}", alike)


def _missing(node: Node, provider: str) -> str | None:
    known = runtime(provider)
    since = known.kernel_since(node)
    # A function is taken apart only where not even the CPU has a kernel for it as a whole.
    if since is None and (node.op in NEVER_RUN or runtime("official").kernel_since(node) is None):
        since = known.first_with(node)
    if since is None:
        return f"none in {PROVIDERS[provider]}"
    if provider == "jsep" and known.later(since, FLOOR):
        return f"in {PROVIDERS[provider]} from {since} on; the contract is {FLOOR}"
    return None


def _constants(artifact: Artifact) -> frozenset[str]:
    """The values that ONNX Runtime computes when it loads the file."""
    facts, constants = Facts(artifact), set(artifact.weights)
    for node in artifact.nodes:
        known = node.op == "Shape" and facts.is_fixed(node.inputs[0])
        if known or (node.op not in CONTROL_FLOW and constants.issuperset(filter(None, node.inputs))):
            constants.update(node.outputs)
    return frozenset(constants)


def _tensors(artifact: Artifact) -> Mapping[str, Value]:
    return {**artifact.inputs, **artifact.weights, **artifact.values, **artifact.outputs}


def _buffers(artifact: Artifact, node: Node, constants: frozenset[str]) -> int:
    """The tensors that a shader binds; sizes and axes are none."""
    bound = [name for name in (*node.inputs, *node.outputs) if name]
    kinds = {name: value.type for name in bound if (value := artifact.find(name)) is not None}
    return sum(not (name in constants and kinds.get(name) == "int64") for name in bound)


def _is_terse(node: Node) -> bool:
    is_convolution = node.domain == AI_ONNX and node.op in ("Conv", "ConvTranspose")
    return is_convolution and not node.attributes.keys() >= set(SPELLED_OUT)


def _is_real(artifact: Artifact, node: Node) -> bool:
    """True if a node computes with real numbers, or may do so."""
    values = [artifact.find(name) for name in (*node.inputs, *node.outputs) if name]
    kinds = {value.type for value in values if value is not None and value.type != "undefined"}
    return not kinds or bool(kinds & REAL)


def _check_sizes(artifact: Artifact) -> Iterator[Finding]:
    beside = {weight.external for weight in artifact.weights.values()} - {""}
    apart = sum(weight.bytes or 0 for weight in artifact.weights.values() if weight.external)
    for size in (artifact.bytes, apart):
        if size > ARRAY_BUFFER:
            yield violation(f"{size / 1e9:.1f} GB of file; Chrome's largest ArrayBuffer is 2.1 GB")
    weights = sum(weight.bytes or 0 for weight in artifact.weights.values())
    live = most_alive(artifact)
    needed = artifact.bytes + weights + live
    if needed > HEAP:
        yield violation(
            f"at least {needed / 2**30:.1f} GiB of heap (file, weights, and {live / 2**30:.1f} GiB of "
            "tensors alive at once); WebAssembly has 4 GiB"
        )
    if beside:
        yield note(f"weights lie in {', '.join(sorted(beside))}: give it to the session as externalData")


def most_alive(artifact: Artifact) -> int:
    """The most bytes of values of known size alive at once."""
    readers = Counter(name for node in artifact.nodes for name in set(node.inputs))
    kept = set(artifact.inputs) | set(artifact.outputs) | set(artifact.weights)
    sizes = {name: value.bytes or 0 for name, value in artifact.values.items() if name not in kept}
    ports = sum(value.bytes or 0 for group in (artifact.inputs, artifact.outputs) for value in group.values())
    alive = most = 0
    for node in artifact.nodes:
        alive += sum(sizes.get(name, 0) for name in node.outputs)
        most = max(most, alive)
        for name in set(node.inputs):
            readers[name] -= 1
            if readers[name] == 0:
                alive -= sizes.get(name, 0)
    return ports + most

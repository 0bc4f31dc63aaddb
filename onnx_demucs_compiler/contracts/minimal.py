"""``minimal``: loads in a minimal build of ONNX Runtime.

That is one with ``--minimal_build`` and a config made for the artifact.

ONNX Runtime's documentation of such builds says what they lack: the parser of ``.onnx`` files, and whatever
needs operators' schemas, so functions are not taken apart
(https://onnxruntime.ai/docs/build/custom.html#minimal-build). :data:`TYPES` are those that the graphs of the
compiler compute with; a reduced build has a kernel for a type only if its config says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_compiler.contracts.finding import Finding, note, violation
from onnx_demucs_compiler.contracts.official import check_one_file, check_operators

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx_demucs_compiler.contracts.artifact import Artifact

RELEASE = "1.21.1"
TYPES = frozenset({"float", "int64", "int32", "bool"})
NARROW = frozenset({"float16", "int8", "uint8"})
"""Of weights that are stored narrow: fine, if the build's config has them."""
CONTROL_FLOW = frozenset({"If", "Loop", "Scan"})


def check(artifact: Artifact) -> Iterator[Finding]:
    """Whatever keeps an artifact from loading in a minimal build."""
    if artifact.format != "ort":
        yield violation("a minimal build reads ORT format only, and this is ONNX; compile with --ort-format")
    yield from check_operators(artifact, RELEASE)
    yield from check_one_file(artifact)
    yield from _check_types(artifact)
    contrib = [node for node in artifact.nodes if node.domain == "com.microsoft"]
    if contrib:
        yield note("com.microsoft: build without --disable_contrib_ops", contrib)
    branching = [node for node in artifact.nodes if node.op in CONTROL_FLOW]
    if branching:
        yield note("control flow: the config needs the operators inside as well", branching)


def _check_types(artifact: Artifact) -> Iterator[Finding]:
    found: dict[str, list[str]] = {}
    for values in (artifact.inputs, artifact.weights, artifact.values, artifact.outputs):
        for name, value in values.items():
            if value.type not in TYPES | {"undefined"}:
                found.setdefault(value.type, []).append(name)
    for kind, names in sorted(found.items()):
        if kind in NARROW:
            yield Finding(f"{kind}: the build's config must have it", tuple(names), breaks=False)
        else:
            yield Finding(f"{kind} is none of {', '.join(sorted(TYPES | NARROW))}", tuple(names))

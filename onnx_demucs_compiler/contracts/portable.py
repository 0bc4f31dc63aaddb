"""``portable``: operators of ``ai.onnx`` in forms that every engine takes.

The evidence is what engines, and tools that rewrite files, were seen to do with each form
(:mod:`~onnx_demucs_compiler.contracts.engine`). A form that one of them mistakes breaks the contract where
another form computes the same; where none is known to do, it is noted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_compiler.contracts.artifact import AI_ONNX
from onnx_demucs_compiler.contracts.engine import REMEDIES, RIGHT, TOOLS, is_of, remedied, table, told
from onnx_demucs_compiler.contracts.finding import note, violation
from onnx_demucs_compiler.contracts.forms import CONTROL_FLOW, forms
from onnx_demucs_compiler.contracts.official import FLOOR, check_operators, check_versions
from onnx_demucs_compiler.engines import ENGINES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx_demucs_compiler.contracts.artifact import Artifact, Node
    from onnx_demucs_compiler.contracts.finding import Finding

ASKED = (*ENGINES, *TOOLS)
OF_ANY_SIZE = CONTROL_FLOW | {"ConstantOfShape", "Pad"}
"""Operators of which engines mistake a form whatever the sizes."""
MOST_ENDS = 7
"""Of a Split or Concat: WebGPU guarantees eight buffers to a shader, of which the whole tensor takes one."""


def check(artifact: Artifact) -> Iterator[Finding]:
    """Whatever ties an artifact to one runtime."""
    foreign = [node for node in artifact.nodes if node.domain != AI_ONNX]
    if foreign:
        domains = ", ".join(sorted({node.domain for node in foreign}))
        yield violation(f"operators of {domains}, and only those of {AI_ONNX} run in every engine", foreign)
    yield from check_operators(artifact, FLOOR)
    if artifact.format == "onnx":
        yield from check_versions(artifact, FLOOR)
        yield from _check_forms(artifact)
    wide = [node for node in artifact.nodes if _ends(node) > MOST_ENDS]
    if wide:
        yield violation(
            f"a Split or Concat of more than {MOST_ENDS} ends, which WebGPU does not run; cut in a tree", wide
        )
    external = [name for name, weight in artifact.weights.items() if weight.external]
    if external:
        yield note(
            f"{len(external)} weights lie in another file, such as {external[0]}; keep the two together"
        )


def _check_forms(artifact: Artifact) -> Iterator[Finding]:
    for form, nodes in forms(artifact, OF_ANY_SIZE).items():
        mistaken = ", ".join(_mistaken(form))
        remedy = REMEDIES.get(remedied(form))
        if mistaken and remedy:
            yield violation(f"{form} {mistaken}; {remedy}", nodes)
        elif mistaken:
            yield note(f"{form} {mistaken}", nodes)


def _mistaken(form: str) -> Iterator[str]:
    """The mistakes that programs make of a form or one like it."""
    like = remedied(form)
    for name in ASKED:
        version, verdicts = table(name)
        seen = [verdict for asked, verdict in verdicts.items() if like and is_of(asked, like)]
        verdict = verdicts.get(form, *seen[:1])
        if verdict not in (RIGHT, None):
            yield told(verdict, f"{name} {version}")


def _ends(node: Node) -> int:
    return {"Split": len(node.outputs), "Concat": len(node.inputs)}.get(node.op, 0)

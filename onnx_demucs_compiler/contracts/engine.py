"""A contract for each engine: only forms that it computes right.

``engines/ENGINE.json`` is what ``benchmarks/engines/probe.py`` saw a real engine do with a small model for
each form (:mod:`~onnx_demucs_compiler.contracts.forms`), by the engine's version, the newest last.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from onnx_demucs_compiler.contracts.artifact import AI_ONNX
from onnx_demucs_compiler.contracts.finding import Finding, note, violation
from onnx_demucs_compiler.contracts.forms import REAL, forms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from onnx_demucs_compiler.contracts.artifact import Artifact

FOLDER = "engines"
TOOLS = ("onnxoptimizer", "onnxsim")
"""Programs that rewrite files, and were asked as engines were."""
WORTH_TELLING = 2**20
RIGHT, WRONG, REFUSED, ENDED = "right", "wrong", "refused", "ended"
UNPROBED = frozenset({"LSTM: bidirectional"})
"""Forms that end the process of an engine: no probe is kept, and the verdict stays as it was seen."""
REMEDIES = {
    "ConstantOfShape: no value": "write the value, 0.0, as an attribute",
    "InstanceNormalization: one channel": "take the mean and the deviation by ReduceMean",
    "MatMul: constant right, right batches broadcast": "swap the factors, so that the left one is broadcast",
    "MatMul: constants, right batches broadcast": "swap the factors, so that the left one is broadcast",
    "Pad: reflect": "write it as slices and a Concat",
    "Pad: reflect, with a value": "leave out the third input, which only mode constant reads",
    "Reshape: 0 in the shape": "write the sizes",
    "Scan: computed outer values": "pass them to the body as states, or write a Loop",
}
"""What computes the same and is right in every engine that mistakes the form."""


def check(engine: str, artifact: Artifact) -> Iterator[Finding]:
    """The nodes that an engine refuses or mistakes."""
    version, verdicts = table(engine)
    title = f"{engine} {version}"
    if artifact.format != "onnx":
        yield violation(f"{title} reads ONNX, and this is ORT format; give the .onnx file")
        return
    unknown = []
    for form, nodes in forms(artifact).items():
        verdict = verdicts.get(form)
        if nodes[0].domain != AI_ONNX:
            yield violation(f"{form} is of ONNX Runtime alone; compile with --target portable", nodes)
        elif verdict is None:
            unknown += nodes
        elif verdict != RIGHT:
            remedy = REMEDIES.get(remedied(form), "no other form of it is known to do")
            yield violation(f"{form} {told(verdict, title)}; {remedy}", nodes)
    if unknown:
        yield note(f"forms that {title} was not asked about; try verify --engine {engine}", unknown)
    yield from NOTES.get(engine, _no_notes)(artifact)


@cache
def table(engine: str) -> tuple[str, Mapping[str, str]]:
    """The newest version that was asked, and its verdict on each form."""
    text = (files(__package__) / FOLDER / f"{engine}.json").read_text(encoding="utf-8")
    versions: dict[str, dict[str, str]] = json.loads(text)
    return list(versions.items())[-1]


def told(verdict: str, title: str) -> str:
    """A verdict in words."""
    if verdict == REFUSED:
        return f"is refused by {title}"
    if verdict == ENDED:
        return f"ends the process of {title}"
    return f"is {verdict} in {title}"


def remedied(form: str) -> str:
    """The narrowest form that has a remedy and this one; else empty."""
    wider = [known for known in REMEDIES if is_of(form, known)]
    return max(wider, key=len, default="")


def is_of(form: str, wider: str) -> bool:
    """True if a form is another, perhaps with more traits."""
    return form == wider or form.startswith(f"{wider}, ")


def _no_notes(_: Artifact) -> Iterator[Finding]:
    return iter(())


def _shared_weights(artifact: Artifact) -> Iterator[Finding]:
    """MNN stores a weight once for each node that reads it."""
    readers = Counter(name for node in artifact.nodes for name in node.inputs)
    shared = {
        name: (readers[name] - 1) * (weight.bytes or 0)
        for name, weight in artifact.weights.items()
        if readers[name] > 1 and weight.type in REAL
    }
    if sum(shared.values()) > WORTH_TELLING:
        what = f"MNN stores weights once for each node: {sum(shared.values()) / 1e6:.0f} MB more than here"
        yield Finding(what, tuple(shared), breaks=False)


NOTES: dict[str, Callable[[Artifact], Iterator[Finding]]] = {"mnn": _shared_weights}

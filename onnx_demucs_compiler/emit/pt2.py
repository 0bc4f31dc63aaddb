"""torch.export's own file, an ExportedProgram of ATen operators.

PyTorch runs it, and AOTInductor makes a library of it for C++.
"""

from __future__ import annotations

import io
import operator
from collections import Counter
from typing import TYPE_CHECKING

import torch
import torch.utils._pytree as pytree

from onnx_demucs_compiler.emit.emitter import METADATA, Converted, Emitter, as_json
from onnx_demucs_compiler.rules.rule import RULE_KEY
from onnx_demucs_compiler.targets import PT2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch.export import ExportedProgram

    from onnx_demucs_compiler.emit.emitter import Arrays, Names, Run

KEPT = ("val",)
"""What nodes keep of their metadata, beside the rule that made them: the rest tells of the machine."""


def convert(program: ExportedProgram, _: Names, metadata: Mapping[str, str]) -> Converted:
    """Save the program, whose nodes forget where they come from."""
    forget_origins(program)
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={METADATA: as_json(metadata)})
    return Converted(buffer.getvalue(), operators(program))


def forget_origins(program: ExportedProgram) -> None:
    """Drop paths and lines from the metadata of a program's nodes."""
    for node in program.graph.nodes:
        rule = (node.meta.get("custom") or {}).get(RULE_KEY)
        node.meta = {key: node.meta[key] for key in KEPT if key in node.meta}
        if rule:
            node.meta["custom"] = {RULE_KEY: rule}


def operators(program: ExportedProgram) -> dict[str, int]:
    """The number of calls of each operator, the most frequent first."""
    targets = [node.target for node in program.graph.nodes if node.op == "call_function"]
    calls = Counter(str(target) for target in targets if target is not operator.getitem)
    return dict(sorted(calls.items(), key=lambda item: (-item[1], item[0])))


def open_program(content: bytes, _: Names) -> Run:
    """Load the file as anyone would, to be run by PyTorch."""
    module = torch.export.load(io.BytesIO(content)).module()

    def run(inputs: Arrays) -> Arrays:
        with torch.inference_mode():
            outputs = pytree.tree_leaves(module(*map(torch.from_numpy, inputs)))
        return [output.numpy() for output in outputs]

    return run


EMITTER = Emitter(target=PT2, convert=convert, open=open_program, open_sizes=True)

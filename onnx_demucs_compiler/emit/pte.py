"""ExecuTorch, with XNNPACK for what it has kernels for."""

from __future__ import annotations

import operator
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.utils._pytree as pytree

from onnx_demucs_compiler.building import building
from onnx_demucs_compiler.emit.emitter import Converted, Emitter
from onnx_demucs_compiler.emit.repairs import repaired
from onnx_demucs_compiler.targets import PTE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch.export import ExportedProgram

    from onnx_demucs_compiler.emit.emitter import Arrays, Names, Run

METHOD = "forward"


def convert(program: ExportedProgram, _: Names, metadata: Mapping[str, str]) -> Converted:
    """Lower the program to XNNPACK and portable kernels; metadata becomes methods."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.backends.xnnpack.utils.configs import get_transform_passes
    from executorch.exir import to_edge_transform_and_lower

    with building():
        edge = to_edge_transform_and_lower(
            repaired(program),
            transform_passes=get_transform_passes(),
            partitioner=[XnnpackPartitioner()],
            constant_methods=dict(metadata),
        )
        found = operators(edge.exported_program())
        return Converted(bytes(edge.to_executorch().buffer), found)


def operators(program: Any) -> dict[str, int]:
    """The number of operators by name, XNNPACK's parts among them."""
    targets = [node.target for node in program.graph.nodes if node.op == "call_function"]
    counts = Counter(
        getattr(target, "__name__", str(target)) for target in targets if target is not operator.getitem
    )
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def open_program(content: bytes, _: Names) -> Run:
    """Load the file in ExecuTorch's runtime."""
    from executorch.runtime import Runtime

    method = Runtime.get().load_program(content).load_method(METHOD)
    # The runtime reads the content whenever the method runs, and does not hold it itself.
    return partial(_run, method, content)


def _run(method: Any, _held: bytes, inputs: Arrays) -> Arrays:
    outputs = pytree.tree_leaves(method.execute([torch.from_numpy(value) for value in inputs]))
    return [output.numpy().copy() for output in outputs]


def read_metadata(content: bytes) -> dict[str, str]:
    """The metadata, which methods return."""
    from executorch.runtime import Runtime

    program = Runtime.get().load_program(content)
    return {name: program.load_method(name).execute([])[0] for name in program.method_names - {METHOD}}


EMITTER = Emitter(
    target=PTE,
    convert=convert,
    open=open_program,
    read=read_metadata,
    packages={"executorch": "executorch"},
    extra="executorch",
)

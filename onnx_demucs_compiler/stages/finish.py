"""The last touch: what the file says of itself, and nothing that depends on where it was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir
from onnx_ir.passes import common as passes

from onnx_demucs_compiler._version import __version__
from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.stages.decompose import RULE_KEY
from onnx_demucs_compiler.stages.opset import ir_version_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def finished(model: ir.Model, name: str, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """Serialise a model whose graph is final.

    The metadata of nodes and values goes: the exporter's holds paths of this machine and the model's Python
    source, and IR versions before 10 have no place for it. What rules made keeps their name as the first part
    of the node's name, which profilers show.

    Args:
        model: the graph.
        name: what the graph is called.
        metadata: the artefact's ``metadata_props``.

    Raises:
        CompilerError: ``onnx.checker`` finds fault with the result.
    """
    made_by = {node: node.metadata_props.get(RULE_KEY) for node in model.graph.all_nodes()}
    passes.ClearMetadataAndDocStringPass()(model)
    for value in _values(model):
        value.metadata_props.clear()
    for index, (node, rule) in enumerate(made_by.items()):
        node.name = f"{rule or 'model'}/{node.op_type}_{index}"
    passes.RemoveUnusedOpsetsPass()(model)
    model.graph.name = name
    model.ir_version = ir_version_for(model.opset_imports[""])
    model.producer_name, model.producer_version = "onnx-demucs-compiler", __version__
    model.metadata_props.clear()
    model.metadata_props.update(metadata)
    proto = ir.to_proto(model)
    _describe_only_results(proto.graph)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise CompilerError(f"the compiled graph is not valid ONNX: {error}") from error
    return proto


def _values(model: ir.Model) -> Iterator[ir.Value]:
    for graph in model.graphs():
        yield from graph.initializers.values()
        yield from graph.inputs
    for node in model.graph.all_nodes():
        yield from node.outputs


def _describe_only_results(graph: onnx.GraphProto) -> None:
    """Initializers say their types and shapes themselves."""
    stored = {item.name for item in graph.initializer}
    described = [item for item in graph.value_info if item.name not in stored]
    del graph.value_info[:]
    graph.value_info.extend(described)

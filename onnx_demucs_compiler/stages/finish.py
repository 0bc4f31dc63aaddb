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
    from collections.abc import Mapping


def finished(model: ir.Model, name: str, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """Serialise a model whose graph is final.

    The exporter's metadata goes: it holds paths of this machine and the model's Python source. What
    rules made keeps their name, in ``metadata_props`` and as the first part of the node's name, which
    profilers show.

    Args:
        model: the graph.
        name: what the graph is called.
        metadata: the artefact's ``metadata_props``.

    Raises:
        CompilerError: ``onnx.checker`` finds fault with the result.
    """
    made_by = {node: node.metadata_props.get(RULE_KEY) for node in model.graph.all_nodes()}
    passes.ClearMetadataAndDocStringPass()(model)
    for index, (node, rule) in enumerate(made_by.items()):
        node.name = f"{rule or 'model'}/{node.op_type}_{index}"
        if rule:
            node.metadata_props[RULE_KEY] = rule
    passes.RemoveUnusedOpsetsPass()(model)
    model.graph.name = name
    model.ir_version = ir_version_for(model.opset_imports[""])
    model.producer_name, model.producer_version = "onnx-demucs-compiler", __version__
    model.metadata_props.clear()
    model.metadata_props.update(metadata)
    proto = ir.to_proto(model)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise CompilerError(f"the compiled graph is not valid ONNX: {error}") from error
    return proto

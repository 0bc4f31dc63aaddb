"""Identity nodes, dropped where ONNX allows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_ir.passes import common as passes

if TYPE_CHECKING:
    import onnx_ir as ir


class DropIdentities(passes.IdentityEliminationPass):
    """onnx_ir's pass, but that a body keeps returning values of its own.

    onnx_ir 1.1 lets the branch of an If return a value of the graph around it, which ONNX does not have.
    """

    def _try_eliminate_identity_node(self, node: ir.Node) -> bool:
        outer = any(value is not None and value.graph is not node.graph for value in node.inputs)
        returned = any(value.is_graph_output() for value in node.outputs)
        return not (outer and returned) and super()._try_eliminate_identity_node(node)

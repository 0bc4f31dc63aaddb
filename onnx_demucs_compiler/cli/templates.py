"""The text of an unwritten rule, for each stage.

The scaffold fills in ``{title}``, ``{name}``, ``{folder}`` and ``{function}``.
"""

SUBSTITUTE = '''"""{title}."""

from __future__ import annotations

from torch import nn

from onnx_demucs_compiler.rules import EXACT, Case, Patch, Refusal, substitute


@substitute(
    name="{name}",
    why="Say what goes wrong, or slowly, without this rule.",
    numerics=EXACT,
    tags={{"{folder}"}},
    cases=[
        Case("fires", nn.ReLU, ((2, 8),), fires=1),
        Case("refuses", nn.Tanh, ((2, 8),), fires=0, because="say why it refuses"),
    ],
)
def {function}(module: nn.Module) -> list[Patch] | Refusal:
    """``relu.forward`` → what replaces it for the time of the trace."""
    return Refusal("this rule is not written yet")
'''

DECOMPOSE = '''"""{title}."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from onnx_demucs_compiler.rules import Case, Numerics, Refusal, decompose

if TYPE_CHECKING:
    from torch import Tensor

    from onnx_demucs_compiler.rules import Site

aten = torch.ops.aten


@decompose(
    aten.relu.default,
    name="{name}",
    why="Say what goes wrong, or slowly, without this rule.",
    numerics=Numerics(min_snr_db=120),
    tags={{"{folder}"}},
    cases=[
        Case("fires", nn.ReLU, ((2, 8),), fires=1),
        Case("refuses", nn.ReLU, ((2,),), fires=0, because="say why it refuses"),
    ],
)
def {function}(site: Site, x: Tensor, *rest: Any) -> Tensor | Refusal:
    """``relu(x)`` → what replaces it."""
    return Refusal("this rule is not written yet")
'''

TRANSLATE = '''"""{title}."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from onnxscript import opset18 as op
from torch import nn

from onnx_demucs_compiler.rules import Case, Numerics, Refusal, translate

if TYPE_CHECKING:
    import onnx_ir as ir
    from torch.fx import Node

aten = torch.ops.aten


def refuse(node: Node) -> Refusal | None:
    """Leave to torch.onnx what this rule does not translate."""
    return Refusal("this rule is not written yet")


@translate(
    aten.relu.default,
    guard=refuse,
    name="{name}",
    why="Say what goes wrong, or slowly, without this rule.",
    numerics=Numerics(min_snr_db=120),
    tags={{"{folder}"}},
    cases=[
        Case("fires", nn.ReLU, ((2, 8),), fires=1),
        Case("refuses", nn.ReLU, ((2,),), fires=0, because="say why it refuses"),
    ],
)
def {function}(x: ir.Value) -> Any:
    """``relu(x)`` → ONNX operators in its place."""
    return op.Relu(x)
'''

REWRITE = '''"""{title}."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from onnx_demucs_compiler.rules import EXACT, Case, GraphCase, Refusal, rewrite

if TYPE_CHECKING:
    from onnx_demucs_compiler.rules import NodeSite

REFUSED = """
<ir_version: 8, opset_import: ["": 18]>
refused (float[8] x) => (float[8] y) {{ y = Relu(x) }}
"""


def pattern(op: Any, x: Any) -> Any:
    """Any Relu."""
    return op.Relu(x)


def decide(site: NodeSite) -> Refusal | None:
    """Say of a match why the rule must not apply; else return facts for building."""
    return Refusal("this rule is not written yet")


@rewrite(
    pattern,
    decide=decide,
    name="{name}",
    why="Say what goes wrong, or slowly, without this rule.",
    numerics=EXACT,
    tags={{"{folder}"}},
    cases=[
        Case("fires", nn.ReLU, ((2, 8),), fires=1),
        GraphCase("refuses", REFUSED, fires=0, because="say why it refuses"),
    ],
)
def {function}(op: Any, site: NodeSite, facts: None) -> Any:
    """``Relu(x)`` → what replaces it, and does not match the pattern again."""
    return op.Clip(site["x"], op.Constant(value_float=0.0))
'''

SURGERY = '''"""{title}."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir
from torch import nn

from onnx_demucs_compiler.rules import EXACT, Case, GraphCase, Refusal, graph_pass

if TYPE_CHECKING:
    from onnx_demucs_compiler.rules import NodeSite

REFUSED = """
<ir_version: 8, opset_import: ["": 18]>
refused (float[8] x) => (float[8] y) {{ y = Relu(x) }}
"""


def decide(site: NodeSite) -> Refusal | None:
    """Say of a node why the rule must not apply; else return facts for building."""
    return Refusal("this rule is not written yet")


@graph_pass(
    decide=decide,
    on=("Relu",),
    name="{name}",
    why="Say what goes wrong, or slowly, without this rule.",
    numerics=EXACT,
    tags={{"{folder}"}},
    cases=[
        Case("fires", nn.ReLU, ((2, 8),), fires=1),
        GraphCase("refuses", REFUSED, fires=0, because="say why it refuses"),
    ],
)
def {function}(site: NodeSite, facts: None) -> None:
    """``Relu(x)`` → the graph changed in place."""
    node = ir.node("LeakyRelu", [site["X"]], attributes={{"alpha": 0.0}})
    ir.convenience.replace_nodes_and_values(
        site.graph, site.node, [site.node], [node], site.node.outputs, node.outputs
    )
'''

STORE = '''"""{title}."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from onnx_demucs_compiler.rules import Case, Numerics, Refusal, store

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_demucs_compiler.options import Options


HALF = {{"precision": "fp16-weights"}}


@store(
    precision="fp16-weights",
    name="{name}",
    why="Say how many bytes this rule saves, and in which weights.",
    numerics=Numerics(min_snr_db=60),
    tags={{"{folder}"}},
    cases=[
        Case("fires", lambda: nn.Linear(64, 64), ((2, 64),), fires=1, options=HALF),
        Case("refuses", nn.ReLU, ((2, 8),), fires=0, because="say why it refuses", options=HALF),
    ],
)
def {function}(model: ir.Model, options: Options) -> int | Refusal:
    """A float32 initializer → the same numbers in fewer bytes."""
    return Refusal("this rule is not written yet")
'''

TEMPLATES = {
    "substitute": SUBSTITUTE,
    "decompose": DECOMPOSE,
    "translate": TRANSLATE,
    "rewrite": REWRITE,
    "surgery": SURGERY,
    "store": STORE,
}

"""The names by which clients know a waveform model: ``mix`` in, ``stems`` out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from onnx_demucs_compiler.rule import EXACT, Case, Refusal, graph_pass
from onnx_demucs_compiler.stages.surgery import surgeon
from onnx_demucs_rules.interface.examples import Separator

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_demucs_compiler.options import Options


@graph_pass(
    name="waveform-interface",
    why="torch.onnx names inputs and outputs after Python variables and ATen nodes; clients need names "
    "that do not change with the model's source.",
    numerics=EXACT,
    tags={"interface"},
    after=["chosen-stems", "select-pieces"],
    cases=[
        Case("two-stems", Separator, ((1, 2, 64),), ops={"Conv": 1}),
        Case("not-a-separator", lambda: nn.Linear(4, 4), ((1, 4),), fires=0,
             because="is not [batch, channels, samples] to [batch, stems, channels, samples]"),
    ],
)  # fmt: skip
def waveform_interface(model: ir.Model, options: Options) -> int | Refusal:
    """The only input → ``mix``, the only output → ``stems``, and nothing that neither needs."""
    if options.interface != "waveform":
        return Refusal(f"the interface is {options.interface}")
    graph = model.graph
    ranks = [[len(value.shape) for value in values] for values in (graph.inputs, graph.outputs)]  # type: ignore[arg-type]
    if ranks != [[3], [4]]:
        return Refusal("the graph is not [batch, channels, samples] to [batch, stems, channels, samples]")
    if (graph.inputs[0].name, graph.outputs[0].name) == ("mix", "stems"):
        return 0
    with surgeon(model) as edited:
        edited.inputs[0].name, edited.outputs[0].name = "mix", "stems"
        edited.cleanup().toposort()
    return 1

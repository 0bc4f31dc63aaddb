"""The names of a waveform model's ports: ``mix`` in, ``stems`` out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from onnx_demucs_compiler.rules import EXACT, Case, NotMine, Refusal, graph_pass
from onnx_demucs_compiler.stages.surgery import surgeon
from onnx_demucs_rules.interface.examples import Separator

if TYPE_CHECKING:
    from onnx_demucs_compiler.rules import GraphSite


def decide(site: GraphSite) -> Refusal | NotMine | None:
    """A waveform in and stems out, under other names."""
    if site.options.interface != "waveform":
        return NotMine()
    inputs, outputs = site.graph.inputs, site.graph.outputs
    if [[len(value.shape or ()) for value in values] for values in (inputs, outputs)] != [[3], [4]]:
        return Refusal("the graph is not [batch, channels, samples] to [batch, stems, channels, samples]")
    return NotMine() if (inputs[0].name, outputs[0].name) == ("mix", "stems") else None


@graph_pass(
    decide=decide,
    name="waveform-interface",
    why="torch.onnx names inputs and outputs after Python variables and ATen nodes; clients need names "
    "that do not change with the model's source.",
    numerics=EXACT,
    tags={"interface"},
    after=["select-stems", "select-before-concat"],
    cases=[
        Case("two-stems", Separator, ((1, 2, 64),), ops={"Conv": 1}),
        Case("not-a-separator", lambda: nn.Linear(4, 4), ((1, 4),), fires=0,
             because="is not [batch, channels, samples] to [batch, stems, channels, samples]"),
    ],
)  # fmt: skip
def waveform_interface(site: GraphSite, _: None) -> None:
    """The only input → ``mix``, the only output → ``stems``, and nothing that neither needs."""
    with surgeon(site.model) as edited:
        edited.inputs[0].name, edited.outputs[0].name = "mix", "stems"
        edited.cleanup().toposort()

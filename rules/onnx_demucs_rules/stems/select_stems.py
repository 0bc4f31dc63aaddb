"""The stems that are asked for in place of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnx_demucs_compiler.rules import Case, NotMine, Numerics, graph_pass
from onnx_demucs_compiler.stages.surgery import rule_of
from onnx_demucs_rules.stems.examples import Separator

if TYPE_CHECKING:
    from onnx_demucs_compiler.options import Options
    from onnx_demucs_compiler.rules import GraphSite

NAME = "select-stems"
SHAPE = ((1, 2, 64),)


def decide(site: GraphSite) -> dict[int, ir.Value] | NotMine:
    """The outputs to choose from, by their places."""
    if site.options.stems is None and site.options.two_stems is None:
        return NotMine()
    outputs = {
        index: output
        for index, output in enumerate(site.graph.outputs)
        if _has_sources(output, site.options) and not _is_chosen(output)
    }
    return outputs or NotMine()


@graph_pass(
    decide=decide,
    name=NAME,
    why="Who wants the vocals alone should not compute, copy and drop the other stems.",
    numerics=Numerics(min_snr_db=120),
    tags={"stems"},
    cases=[
        Case("one", Separator, SHAPE, options={"stems": ("vocals",)}, ops={"Gather": 1}),
        Case("two-in-another-order", Separator, SHAPE, options={"stems": ("vocals", "drums")}),
        Case("all-in-another-order", Separator, SHAPE, options={"stems": ("vocals", "bass", "drums")}),
        Case("the-others-added", Separator, SHAPE, options={"two_stems": "bass"}, ops={"ReduceSum": 1}),
        Case("the-mix-minus", Separator, SHAPE, options={"two_stems": "bass", "other_method": "minus"},
             ops={"ReduceSum": 0, "Gather": 1}),
        Case("all", Separator, SHAPE, fires=0),
    ],
)  # fmt: skip
def select_stems(site: GraphSite, outputs: dict[int, ir.Value]) -> list[ir.Value]:
    """Output with all sources along its second axis → ``Gather`` of some, or of one and what is left."""
    for index, output in outputs.items():
        site.graph.outputs[index] = _chosen(site.graph, output, site.options)
    return list(outputs.values())


def _has_sources(output: ir.Value, options: Options) -> bool:
    shape = output.shape
    return shape is not None and len(shape) >= 4 and shape[1] == len(options.sources)


def _is_chosen(output: ir.Value) -> bool:
    node = output.producer()
    return node is not None and rule_of(node) == NAME


def _chosen(graph: ir.Graph, output: ir.Value, options: Options) -> ir.Value:
    surgery = _Surgery(graph, output)
    if options.stems is not None:
        picked = surgery.pick([options.sources.index(name) for name in options.stems])
        return surgery.as_output(picked, len(options.stems))
    assert options.two_stems is not None, "one of the two is set"
    index = options.sources.index(options.two_stems)
    stem = surgery.pick([index])
    if options.other_method == "minus":
        mix = surgery.node("Unsqueeze", graph.inputs[0], surgery.constant([1]))
        rest = surgery.node("Sub", mix, stem)
    else:
        others = surgery.pick([other for other in range(len(options.sources)) if other != index])
        rest = surgery.node("ReduceSum", others, surgery.constant([1]), keepdims=1)
    return surgery.as_output(surgery.node("Concat", stem, rest, axis=1), 2)


class _Surgery:
    """New nodes at the end of a graph."""

    def __init__(self, graph: ir.Graph, output: ir.Value) -> None:
        self.graph, self.output = graph, output
        self.name = output.name or "output"
        self.count = 0
        output.name = f"{self.name}_of_all_sources"

    def constant(self, values: list[int]) -> ir.Value:
        name = f"{self.name}_indices_{'_'.join(map(str, values))}"
        value = ir.Value(name=name, type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape([len(values)]))
        value.const_value = ir.tensor(np.array(values, np.int64), name=name)
        if name not in self.graph.initializers:
            self.graph.register_initializer(value)
        return self.graph.initializers[name]

    def node(self, operator: str, *inputs: ir.Value, **attributes: int) -> ir.Value:
        node = ir.node(operator, inputs, attributes=attributes)
        self.graph.append(node)
        self.count += 1
        value = node.outputs[0]
        value.name = f"{self.name}_{operator}_{self.count}"
        value.type = self.output.type
        return value

    def pick(self, indices: list[int]) -> ir.Value:
        return self.node("Gather", self.output, self.constant(indices), axis=1)

    def as_output(self, value: ir.Value, sources: int) -> ir.Value:
        assert self.output.shape is not None, "the caller has looked"
        value.name = self.name
        value.shape = ir.Shape([self.output.shape[0], sources, *self.output.shape[2:]])
        return value

"""Which of two branches stands first in the file."""

import onnx
import onnx_ir as ir
import pytest
import torch

from onnx_demucs_compiler import compile, default
from onnx_demucs_compiler.options import Options
from onnx_demucs_compiler.report import Recorder
from onnx_demucs_compiler.stages.driver import apply_rule
from onnx_demucs_rules.layout.examples import Members, TwoBranches
from onnx_demucs_rules.layout.lighter_branch_first import lighter_branch_first


@pytest.mark.parametrize("widths", [(2, 8), (8, 2)])
@pytest.mark.parametrize("members", [1, 2])
def test_the_wider_branch_of_every_member_stands_first(widths, members):
    torch.manual_seed(0)
    models = [TwoBranches(*widths) for _ in range(members)]
    model = models[0] if members == 1 else Members(*models)
    compiled = compile(model, default, example_input=torch.randn(1, 4, 32))
    channels = [
        node.inputs[1].shape[0]
        for node in ir.from_proto(compiled.model).graph
        if node.op_type == "Conv" and node.inputs[1].shape[0] != 4
    ]
    assert channels == [8, 2] * members


def test_what_the_body_of_an_if_reads_stays_before_it():
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["": 18]>
        g (float[4] x, bool c) => (float[4] y)
        {
            read = Neg(x)
            small = If (c) <
                then_branch = then () => (float[4] t) { t = Abs(read) },
                else_branch = otherwise () => (float[4] o) { o = Exp(read) }
            >
            zero = Constant <value_ints = [0]> ()
            four = Constant <value_ints = [4]> ()
            twice = Concat <axis = 0> (x, x)
            large = Slice(twice, zero, four)
            y = Add(small, large)
        }
    """)
    onnx.checker.check_model(model)
    graph = ir.from_proto(onnx.shape_inference.infer_shapes(model))
    assert apply_rule(graph, lighter_branch_first, Options(), Recorder()) == 1
    onnx.checker.check_model(ir.to_proto(graph))
    assert [node.op_type for node in graph.graph][-3:] == ["Neg", "If", "Add"]

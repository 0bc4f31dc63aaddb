"""Which of two branches stands first in the file."""

import onnx_ir as ir
import pytest
import torch

from onnx_demucs_compiler import compile, default
from onnx_demucs_rules.layout.examples import Members, TwoBranches


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

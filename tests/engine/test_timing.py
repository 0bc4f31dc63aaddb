"""The time of a run by operator."""

import onnx
import pytest
import torch

from onnx_demucs_compiler.checking.timing import seconds_by_operator
from onnx_demucs_compiler.errors import CompilerError

BRANCHES = """
<ir_version: 8, opset_import: ["": 18]>
branches (float[300, 300] x, bool[1] wanted) => (float[300, 300] y)
{
    product = MatMul(x, x)
    y = If(wanted) <
        then_branch = yes () => (float[300, 300] a) { a = Softmax(product) },
        else_branch = no () => (float[300, 300] b) { b = Sin(product) }
    >
}
"""


def graph(text: str) -> bytes:
    return onnx.parser.parse_model(text).SerializeToString()


def test_nodes_of_a_branch_count_and_the_branch_does_not() -> None:
    found = seconds_by_operator(graph(BRANCHES), (torch.randn(300, 300), torch.tensor([True])))
    assert set(found) == {"MatMul", "Softmax"}
    assert all(seconds > 0 for seconds in found.values())
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_the_first_run_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnx_demucs_compiler.checking.timing.ROUNDS", 0)
    assert seconds_by_operator(graph(BRANCHES), (torch.randn(300, 300), torch.tensor([True]))) == {}


def test_a_graph_that_the_runtime_refuses() -> None:
    refused = BRANCHES.replace("MatMul(x, x)", "Unheard(x, x)")
    with pytest.raises(CompilerError, match="ONNX Runtime cannot load the compiled graph"):
        seconds_by_operator(graph(refused), ())

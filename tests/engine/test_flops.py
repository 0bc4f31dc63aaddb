"""The arithmetic of a graph, against what one counts by hand."""

import onnx
import onnx_ir as ir
import pytest
import torch
from torch import nn

from onnx_demucs_compiler import CompiledModel, compile
from onnx_demucs_compiler.graph.flops import flops


def count(inputs: str, body: str, *, rank: int) -> int:
    """The FLOPs of a graph whose inner shapes nobody has written down."""
    names = [f"d{axis}" for axis in range(rank)]
    text = f"""
        <ir_version: 8, opset_import: ["" : 18, "com.microsoft" : 1]>
        graph ({inputs}) => (float[{", ".join(names)}] out) {{ {body} out = Identity(y) }}
    """
    return flops(ir.from_proto(onnx.parser.parse_model(text)))


def test_convolution() -> None:
    """Each of 2·6·8 outputs sums 4 channels times 3 taps."""
    got = count("float[2, 4, 10] x, float[6, 4, 3] w", "y = Conv(x, w)", rank=3)
    assert got == 2 * (2 * 6 * 8) * (4 * 3)


def test_grouped_strided_convolution_with_bias() -> None:
    """Each of 6·5·4 outputs sums the 2 channels of its group times 3·1 taps; the bias is not counted."""
    body = "y = Conv <group = 2, strides = [2, 1], pads = [1, 0, 1, 0]> (x, w, b)"
    got = count("float[1, 4, 10, 4] x, float[6, 2, 3, 1] w, float[6] b", body, rank=4)
    assert got == 2 * (6 * 5 * 4) * (2 * 3)


def test_transposed_convolution() -> None:
    """Each of 4·5 inputs goes to 6 channels times 8 taps."""
    body = "y = ConvTranspose <strides = [4]> (x, w)"
    got = count("float[1, 4, 5] x, float[4, 6, 8] w", body, rank=3)
    assert got == 2 * (4 * 5) * (6 * 8)


def test_gemm_transposed_or_not() -> None:
    plain = count("float[3, 5] x, float[5, 7] w", "y = Gemm(x, w)", rank=2)
    turned = count("float[5, 3] x, float[7, 5] w", "y = Gemm <transA = 1, transB = 1> (x, w)", rank=2)
    assert plain == turned == 2 * 3 * 5 * 7


def test_matmul_of_a_broadcast_batch() -> None:
    """Four products of [3, 5] with [5, 7]."""
    got = count("float[4, 1, 3, 5] x, float[1, 5, 7] w", "y = MatMul(x, w)", rank=4)
    assert got == 4 * 2 * 3 * 5 * 7


def test_fused_attention() -> None:
    """5 queries with 11 keys of 8 numbers, and 5·11 scores with values of 6, in each of 2 sequences."""
    body = "y = com.microsoft.MultiHeadAttention <num_heads = 2> (q, k, v)"
    got = count("float[2, 5, 8] q, float[2, 11, 8] k, float[2, 11, 6] v", body, rank=3)
    assert got == 2 * (2 * 5 * 11) * (8 + 6)


@pytest.mark.parametrize(
    ("equation", "shapes", "rank", "by_hand"),
    [
        ("bhtd,bhsd->bhts", ("2, 3, 5, 7", "2, 3, 11, 7"), 4, 2 * 2 * 3 * 5 * 11 * 7),
        ("...td, ...sd -> ...ts", ("2, 3, 5, 7", "3, 11, 7"), 4, 2 * 2 * 3 * 5 * 11 * 7),
    ],
)
def test_einsum(equation: str, shapes: tuple[str, str], rank: int, by_hand: int) -> None:
    inputs = ", ".join(f"float[{shape}] x{index}" for index, shape in enumerate(shapes))
    assert count(inputs, f'y = Einsum <equation = "{equation}"> (x0, x1)', rank=rank) == by_hand


def test_recurrent_layers() -> None:
    """10 steps, batch 2, both directions: 4 (LSTM) or 3 (GRU) gates of 6, from 5 inputs and 6 states."""
    inputs = "float[10, 2, 5] x, float[2, {0}, 5] w, float[2, {0}, 6] r"
    body = 'y, h{1} = {0} <hidden_size = 6, direction = "bidirectional"> (x, w, r)'
    lstm = count(inputs.format(24), body.format("LSTM", ", c"), rank=4)
    gru = count(inputs.format(18), body.format("GRU", ""), rank=4)
    assert lstm == 2 * 10 * 2 * 2 * (24 * 5 + 24 * 6)
    assert gru == 2 * 10 * 2 * 2 * (18 * 5 + 18 * 6)


def test_an_open_axis_counts_as_one() -> None:
    body = "y = MatMul(x, w)"
    given = count("float[1, 3, 5] x, float[5, 7] w", body, rank=3)
    assert count("float[batch, 3, 5] x, float[5, 7] w", body, rank=3) == given


def test_what_is_elementwise_does_not_count() -> None:
    assert count("float[3, 5] x", "s = Sigmoid(x) y = Mul(x, s)", rank=2) == 0


def test_counting_leaves_the_graph_as_it_is() -> None:
    text = """
        <ir_version: 8, opset_import: ["" : 18, "com.microsoft" : 1]>
        graph (float[5, 5] x) => (float[a, b] y) { z = MatMul(x, x) y = Relu(z) }
    """
    model = ir.from_proto(onnx.parser.parse_model(text))
    before = ir.to_proto(model).SerializeToString()
    assert flops(model) == 2 * 5 * 5 * 5
    assert ir.to_proto(model).SerializeToString() == before


def test_the_report_has_it(compiled: CompiledModel) -> None:
    assert compiled.report.flop == flops(ir.from_proto(compiled.model))


def test_a_module_counted_by_hand() -> None:
    compiled = compile(nn.Linear(5, 7), example_input=torch.zeros(3, 5))
    assert compiled.report.flop == 2 * 3 * 5 * 7

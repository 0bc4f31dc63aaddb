"""What is not chosen is not computed: parity, arithmetic, nodes and bytes of graphs of some of the stems."""

import math
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from demucs.apply import BagOfModels
from onnx import numpy_helper
from torch import nn

from onnx_demucs_compiler import CompiledModel, compile, default
from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.fidelity import DEFAULT_MIN_SNR_DB, open_session
from onnx_demucs_compiler.graph.flops import flops
from onnx_demucs_compiler.loading import make_lively
from onnx_demucs_compiler.stages.surgery import rule_of
from onnx_demucs_rules.examples import plain_htdemucs
from onnx_demucs_rules.stems.selection import Selection, quotient

SOURCES = ["drums", "bass", "other", "vocals"]
SAMPLES = 2048


def made(seed: int) -> nn.Module:
    """An HTDemucs of one layer and four stems."""
    torch.manual_seed(seed)
    model = plain_htdemucs(SAMPLES, sources=SOURCES)
    make_lively(model, seed)
    return model


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return made(1)


@pytest.fixture(scope="module")
def mix() -> torch.Tensor:
    return torch.randn(1, 2, SAMPLES, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def whole(model: nn.Module) -> CompiledModel:
    return compile(model, verify=False)


@pytest.fixture(scope="module")
def vocals(model: nn.Module) -> CompiledModel:
    return compile(model, stems=("vocals",))


def fired(compiled: CompiledModel) -> int:
    return sum(event.fired for event in compiled.report.events if event.rule == "select-early")


def run(compiled: CompiledModel, mix: torch.Tensor) -> np.ndarray:
    session = open_session(compiled.model)
    [stems] = session.run(None, {"mix": mix.numpy()})
    return np.asarray(stems)


def weights(compiled: CompiledModel) -> dict[str, np.ndarray]:
    return {
        item.name.removeprefix("model."): numpy_helper.to_array(item)
        for item in compiled.model.graph.initializer
    }


def inverse_stft(compiled: CompiledModel) -> list[list[int]]:
    """The shapes of what the inverse STFT multiplies by its two tables."""
    return [
        [int(size) for size in node.inputs[1].shape]
        for node in ir.from_proto(compiled.model).graph
        if node.op_type == "MatMul"
        and rule_of(node) == "istft-as-matmul"
        and not node.inputs[1].is_initializer()
    ]


def test_one_stem_is_faithful_and_costs_less(whole: CompiledModel, vocals: CompiledModel) -> None:
    assert fired(vocals) == 1
    assert min(item.snr_db for item in vocals.report.fidelity) > DEFAULT_MIN_SNR_DB["fp32"] + 10
    assert vocals.report.flop < whole.report.flop
    assert vocals.report.nodes == whole.report.nodes
    assert vocals.report.bytes < whole.report.bytes
    assert "Gather" not in {node.op_type for node in vocals.model.graph.node[-5:]}


def test_the_last_layers_and_the_inverse_stft_are_those_of_one_stem(
    whole: CompiledModel, vocals: CompiledModel
) -> None:
    """What is left of the four: the weights of both decoders, and what the tables multiply."""
    all_four, one = weights(whole), weights(vocals)
    for name, channels in (("decoder.0.conv_tr", 4), ("tdecoder.0.conv_tr", 2)):
        last = slice(3 * channels, 4 * channels)
        np.testing.assert_array_equal(one[f"{name}.weight"], all_four[f"{name}.weight"][:, last])
        np.testing.assert_array_equal(one[f"{name}.bias"], all_four[f"{name}.bias"][last])
    sizes = [list(map(math.prod, inverse_stft(compiled))) for compiled in (whole, vocals)]
    assert len(sizes[0]) == 2
    assert sizes[0] == [4 * size for size in sizes[1]]


def test_it_is_what_the_graph_without_the_rule_gives(
    model: nn.Module, vocals: CompiledModel, mix: torch.Tensor
) -> None:
    late = compile(model, default - "select-early", stems=("vocals",), verify=False)
    assert flops(ir.from_proto(late.model)) > vocals.report.flop
    assert snr_db(run(late, mix), run(vocals, mix)) > 130


def test_several_stems_come_in_the_order_asked_for(
    model: nn.Module, mix: torch.Tensor, vocals: CompiledModel, whole: CompiledModel
) -> None:
    two = compile(model, stems=("vocals", "bass"), verify=False)
    assert snr_db(run(whole, mix)[:, [3, 1]], run(two, mix)) > 130
    assert vocals.report.flop < two.report.flop < whole.report.flop


def test_the_mix_minus_one_computes_one(model: nn.Module, vocals: CompiledModel) -> None:
    minus = compile(model, two_stems="vocals", other_method="minus")
    assert fired(minus) == 1
    assert minus.report.flop == vocals.report.flop


def test_the_others_added_need_all(model: nn.Module, whole: CompiledModel) -> None:
    added = compile(model, two_stems="vocals", verify=False)
    assert fired(added) == 0
    assert added.report.flop == whole.report.flop


@pytest.mark.parametrize("interface", ["core", "spectral", "openkara"])
def test_every_interface_ends_in_the_weights(interface: str, model: nn.Module) -> None:
    one = compile(model, interface=interface, stems=("bass",))
    assert fired(one) == len(one.model.graph.output)
    assert weights(one)["decoder.0.conv_tr.weight"].shape[1] == 4
    assert weights(one)["tdecoder.0.conv_tr.weight"].shape[1] == 2


def test_open_batch_and_length(model: nn.Module) -> None:
    one = compile(model, stems=("vocals", "drums"), batch="dynamic", length="dynamic")
    assert fired(one) == 1
    assert weights(one)["decoder.0.conv_tr.weight"].shape[1] == 8


def test_a_bag_of_one_hot_members_costs_by_the_stem(mix: torch.Tensor) -> None:
    """As htdemucs_ft: one stem is one member's, and even all four take no more than one stem of each."""
    members = [made(seed) for seed in range(4)]
    bag: Any = BagOfModels(members, np.eye(4).tolist())
    every = compile(bag, verify=False)
    one = compile(bag, stems=("vocals",), verify=False)
    alone = compile(members[3], stems=("vocals",), verify=False)
    assert one.report.flop == alone.report.flop
    assert every.report.flop == 4 * one.report.flop
    assert one.report.bytes == pytest.approx(alone.report.bytes, rel=0.03)
    assert one.report.bytes < every.report.bytes < 4 * one.report.bytes
    assert snr_db(run(every, mix)[:, 3:], run(one, mix)) > 120


def test_quotients_of_open_sizes() -> None:
    frames = ir.SymbolicDim("8*batch*(frames + 4)")
    assert quotient(frames, ir.SymbolicDim("2*(frames + 4)")) == ir.SymbolicDim("4*batch")
    assert quotient(ir.SymbolicDim("8*frames"), ir.SymbolicDim("frames")) == 8
    assert quotient(ir.SymbolicDim("frames"), 2) is None
    assert quotient(ir.SymbolicDim(None), 2) is None
    assert quotient(12, 8) is None


def test_positions_of_a_merged_axis() -> None:
    selection = Selection(axis=1, size=3, indices=(2, 0), inner=2)
    assert selection.positions(6) == [4, 5, 0, 1]
    assert selection.positions(12) == [4, 5, 0, 1, 10, 11, 6, 7]
    assert selection.positions(ir.SymbolicDim("6*batch")) is None
    assert selection.narrowed(12) == 8

"""Weights in half precision: half the file, and not a bit of the output."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from demucs.apply import BagOfModels
from engine_examples import shallow_htdemucs
from onnx import TensorProto
from torch import Tensor, nn

from onnx_demucs_compiler import CompiledModel, UsageError, compile, default, verify
from onnx_demucs_compiler.checking.fidelity import FidelityError, Gate
from onnx_demucs_compiler.graph.storage import FLOAT32, LOSSLESS, ROUNDED
from onnx_demucs_compiler.graph.weights import weights_in
from onnx_demucs_compiler.loading import make_lively
from onnx_demucs_compiler.runtime.session import session_options


class Wide(nn.Module):
    """Stems by two convolutions wide enough to be rounded, which compile in about a second."""

    def __init__(self) -> None:
        super().__init__()
        self.sources = ["speech", "noise"]
        self.samplerate, self.audio_channels, self.segment = 8000, 2, 0.1
        self.first, self.second = nn.Conv1d(2, 64, 9, padding=4), nn.Conv1d(64, 4, 9, padding=4)

    def forward(self, mix: Tensor) -> Tensor:
        return self.second(self.first(mix).tanh()).unflatten(1, (2, 2))


@pytest.fixture(scope="module")
def rounded() -> nn.Module:
    """A model whose weights have more bits than half precision."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Wide().eval()


@pytest.fixture(scope="module")
def half(rounded: nn.Module) -> nn.Module:
    """The same after a checkpoint in half precision."""
    return as_if_released(copy.deepcopy(rounded))


@pytest.fixture(scope="module", params=["portable", "ort"])
def pair(request: pytest.FixtureRequest) -> tuple[nn.Module, CompiledModel, CompiledModel]:
    """An HTDemucs, it in float32, and it with half the bytes."""
    model = shallow_htdemucs()
    make_lively(model, 0)
    as_if_released(model)
    full, small = (
        compile(model, target=request.param, precision=precision, verify=False)
        for precision in ("fp32", "fp16-weights")
    )
    return model, full, small


def as_if_released(model: nn.Module) -> nn.Module:
    for value in model.state_dict().values():
        value.copy_(value.half())
    return model


def run(artifact: CompiledModel, **options: Any) -> np.ndarray:
    settings = session_options(threads=1)
    for name, value in options.items():
        setattr(settings, name, value)
    session = ort.InferenceSession(artifact.model.SerializeToString(), settings)
    [port] = session.get_inputs()
    mix = np.random.default_rng(0).normal(
        0, 0.1, [size if isinstance(size, int) else 9000 for size in port.shape]
    )
    return np.asarray(session.run(None, {port.name: mix.astype(np.float32)})[0])


def test_not_a_bit_of_the_output_differs(pair: tuple[nn.Module, CompiledModel, CompiledModel]) -> None:
    _, full, small = pair
    np.testing.assert_array_equal(run(full), run(small))
    plain = {"graph_optimization_level": ort.GraphOptimizationLevel.ORT_DISABLE_ALL}
    np.testing.assert_array_equal(run(full, **plain), run(small, **plain))


def test_every_weight_worth_a_node_is_stored_in_half(
    pair: tuple[nn.Module, CompiledModel, CompiledModel],
) -> None:
    model, full, small = pair
    types = {item.name: item.data_type for item in small.model.graph.initializer}
    assert types.keys() == {item.name for item in full.model.graph.initializer}
    for item in full.model.graph.initializer:
        if weights_in(item.name, model.state_dict()):
            large = np.prod(item.dims) >= 128
            assert types[item.name] == (TensorProto.FLOAT16 if large else TensorProto.FLOAT), item.name
    stored = small.report.stored
    assert set(stored) == {LOSSLESS, FLOAT32}
    assert full.report.stored == {FLOAT32: 2 * stored[LOSSLESS] + stored[FLOAT32]}


def test_lossless_bytes_are_told_from_rounded_ones(rounded: nn.Module, half: nn.Module) -> None:
    lossless, lossy = (compile(model, precision="fp16-weights") for model in (half, rounded))
    assert lossy.report.stored == {
        FLOAT32: lossless.report.stored[FLOAT32],
        ROUNDED: lossless.report.stored[LOSSLESS],
    }
    assert (lossless.report.min_snr_db, lossy.report.min_snr_db) == (100, 50)
    assert dict(lossy.metadata.stored) == lossy.report.stored
    assert 60 < min(item.snr_db for item in lossy.report.fidelity if not item.silent) < 80


def test_a_gate_of_ones_own_is_held_to(rounded: nn.Module) -> None:
    with pytest.raises(FidelityError, match="below the gate of 90 dB"):
        compile(rounded, precision="fp16-weights", min_snr_db=90)


@pytest.mark.parametrize(("precision", "rule"), [("fp16-weights", "fp16-weights"), ("int8", "int8-weights")])
def test_a_precision_whose_rule_is_left_out(precision: str, rule: str, half: nn.Module) -> None:
    with pytest.raises(UsageError, match=f"precision={precision} is the work of a rule that was left out"):
        compile(half, default - rule, precision=precision)


def test_the_gate_of_rounded_weights() -> None:
    assert Gate.of("fp16-weights", None) == Gate.of("fp32", None)
    assert Gate.of("fp16-weights", None, rounded=True) == Gate(50.0)
    assert Gate.of("fp16-weights", 80, rounded=True) == Gate(80)


def test_verify_knows_what_was_rounded(rounded: nn.Module, half: nn.Module, tmp_path: Path) -> None:
    path = compile(rounded, precision="fp16-weights", verify=False).save(tmp_path / "rounded.onnx")
    assert min(item.snr_db for item in verify(path, rounded)) < 80
    path = compile(half, precision="fp16-weights", verify=False).save(tmp_path / "lossless.onnx")
    assert all(item.passes(100) for item in verify(path, half))


def test_a_loop_does_not_decode_in_every_turn(half: nn.Module) -> None:
    full, small = (
        compile(half, track=True, precision=each, verify=False) for each in ("fp32", "fp16-weights")
    )
    assert not [node for node in _inside_loops(small.model.graph) if node.op_type == "Cast"
                and node.name.startswith("fp16-weights/")]  # fmt: skip
    assert small.report.stored[LOSSLESS] == sum(
        item.ByteSize() > 0 and len(item.raw_data)
        for item in small.model.graph.initializer if item.data_type == TensorProto.FLOAT16
    )  # fmt: skip
    np.testing.assert_array_equal(run(full), run(small))


def _inside_loops(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    bodies = [item.g for node in graph.node for item in node.attribute if item.HasField("g")]
    return [node for body in bodies for node in (*body.node, *_inside_loops(body))]


@pytest.mark.parametrize("options", [{"opset": 17}, {"opset": 24, "stems": ("noise",)}])
def test_beside_other_options(half: nn.Module, options: dict[str, Any]) -> None:
    full, small = (
        compile(half, precision=each, verify=False, **options) for each in ("fp32", "fp16-weights")
    )
    assert ROUNDED not in small.report.stored
    assert small.report.stored[LOSSLESS] > 3000
    np.testing.assert_array_equal(run(full), run(small))


def test_a_bag_stores_what_its_members_share_once(half: nn.Module) -> None:
    other = copy.deepcopy(half)
    with torch.no_grad():
        other.first.bias.mul_(2)
    bag = BagOfModels([half, other], [[1, 0], [0, 1]])
    stored = compile(bag, precision="fp16-weights", verify=False).report.stored
    assert stored[LOSSLESS] == compile(half, precision="fp16-weights", verify=False).report.stored[LOSSLESS]

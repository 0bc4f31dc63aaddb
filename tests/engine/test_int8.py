"""Weights in eight bits: as many as keep the floor."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from engine_examples import Difference, deep_stems
from onnx import TensorProto
from products_of_bytes import exact_products_of_bytes
from torch import nn

from onnx_demucs_compiler import CompiledModel, CompilerError, UsageError, compile, default
from onnx_demucs_compiler.artifact.compiled import serialized
from onnx_demucs_compiler.checking.fidelity import Gate, Measurement
from onnx_demucs_compiler.checking.grouping import MEMBERS, SHARE, OutOfReachError, weights_to_keep
from onnx_demucs_compiler.contracts.reading import read_artifact
from onnx_demucs_compiler.graph.storage import COMPUTED, FLOAT32, INT8, ROUNDED
from onnx_demucs_compiler.ort import ort_format


@pytest.fixture(scope="module")
def deep() -> nn.Module:
    return deep_stems()


@pytest.fixture(scope="module")
def loose(deep: nn.Module) -> CompiledModel:
    return compile(deep, precision="int8", min_snr_db=5)


def types(artifact: CompiledModel) -> dict[str, int]:
    return {item.name: item.data_type for item in artifact.model.graph.initializer}


def worst(artifact: CompiledModel) -> float:
    return min(item.snr_db for item in artifact.report.fidelity if not item.silent)


def test_all_large_weights_where_that_is_good_enough(loose: CompiledModel) -> None:
    found = types(loose)
    eight = {name for name, kind in found.items() if kind == TensorProto.INT8}
    assert eight == {"spoilt.weight", "sound.weight", "kernel.weight"}
    assert loose.report.options["keep"] == ()
    assert loose.report.stored[INT8] == 64 * 64 * 3
    assert loose.report.stored[COMPUTED] == 64 * 64 * 2
    assert loose.report.operators["MatMulInteger"] == 2
    assert loose.metadata.precision == "int8"
    assert dict(loose.metadata.stored) == loose.report.stored
    assert loose.report.speedup is not None


def test_a_default_session_leaves_its_products_alone(loose: CompiledModel, tmp_path: Path) -> None:
    """ONNX Runtime's rewrite to MatMulNBits would compute them in other bits than were measured."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(loose.model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    operators = Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)
    assert operators["MatMulNBits"] == 0
    integer = ("MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul")
    assert sum(operators[name] for name in integer) == loose.report.operators["MatMulInteger"]


def test_ort_format_keeps_what_decodes_and_multiplies_bytes(loose: CompiledModel, tmp_path: Path) -> None:
    path = tmp_path / "loose.ort"
    path.write_bytes(ort_format(serialized(loose.model)))
    found = Counter(node.op for node in read_artifact(path).nodes)
    assert found == Counter(loose.report.operators)
    assert {"DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger"} <= found.keys()
    assert_same_stems(path.read_bytes(), serialized(loose.model))


def test_the_operators_that_eight_bits_add(deep: nn.Module, loose: CompiledModel) -> None:
    """Those that docs/deployment/precision.md names, for reduced builds; Mul is in every model of demucs."""
    plain = compile(deep, verify=False)
    added = loose.report.operators.keys() - plain.report.operators.keys() - {"Mul"}
    assert added == {"Cast", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger"}


def assert_same_stems(*models: bytes) -> None:
    mix = 0.1 * np.random.default_rng(0).standard_normal((1, 2, 800), np.float32)
    sessions = [onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]) for model in models]
    one, other = (session.run(None, {"mix": mix})[0] for session in sessions)
    np.testing.assert_allclose(one, other, atol=1e-6)


@exact_products_of_bytes
def test_a_floor_keeps_the_worst_offenders(deep: nn.Module, loose: CompiledModel) -> None:
    floor = worst(loose) + 3
    artifact = compile(deep, precision="int8", min_snr_db=floor)
    assert worst(artifact) >= floor
    assert artifact.report.options["keep"] == ("spoilt.weight",)
    assert types(artifact)["spoilt.weight"] == TensorProto.FLOAT16
    assert types(artifact)["sound.weight"] == TensorProto.INT8
    assert artifact.report.stored.keys() == {INT8, COMPUTED, FLOAT32, ROUNDED}


def test_out_of_reach(deep: nn.Module) -> None:
    with pytest.raises(CompilerError, match=r"int8 cannot keep 120 dB: even in float16 .* \d+\.\d dB; ask"):
        compile(deep, precision="int8", min_snr_db=120)


def test_nothing_is_quantised_unmeasured(deep: nn.Module) -> None:
    with pytest.raises(UsageError, match="int8 is chosen by measuring"):
        compile(deep, precision="int8", verify=False)


def test_two_compiles_agree(deep: nn.Module, loose: CompiledModel) -> None:
    again = compile(deep, default, precision="int8", min_snr_db=5)
    assert again.model.SerializeToString(deterministic=True) == loose.model.SerializeToString(
        deterministic=True
    )


class Noises:
    """A model of noises that add up, in the place of a graph."""

    def __init__(self, noises: dict[str, float]) -> None:
        self.noises, self.calls = noises, 0

    def __call__(self, keep: Iterable[str]) -> list[Measurement]:
        self.calls += 1
        noise = 1e-9 + sum(value for name, value in self.noises.items() if name not in set(keep))
        snr = float(-10 * np.log10(noise))
        return [
            Measurement("noise", "stem", snr, 120, 0, False),
            Measurement("silence", "stem", -9, 0, 0, True),
        ]


def test_the_search_keeps_as_few_bytes_as_it_can() -> None:
    rng = np.random.default_rng(0)
    sizes = {f"weight {index}": int(rng.integers(4_000, 40_000)) for index in range(200)}
    noises = dict.fromkeys(sizes, 1e-07) | {"weight 7": 1e-3, "weight 150": 1e-2}
    measure, probe = Noises(noises), Noises(noises)
    choice = weights_to_keep(sizes, measure, probe, Gate(40))
    assert {"weight 7", "weight 150"} <= set(choice.keep)
    assert len(choice.keep) <= 2 * MEMBERS
    assert {name for group in choice.groups if group.kept for name in group.weights} == set(choice.keep)
    assert sum(group.saved for group in choice.groups) == sum(sizes.values())
    assert measure.calls <= 8
    assert probe.calls <= 200 / MEMBERS + 2 * SHARE


def test_no_search_where_the_floor_holds_at_once() -> None:
    measure = Noises({"a": 1e-6})
    assert weights_to_keep({"a": 1}, measure, measure, Gate(40)).keep == ()
    assert measure.calls == 1


def test_a_stem_that_a_signal_does_not_have_is_no_bar_to_the_floor() -> None:
    """Its error is 50 dB below the mix, with or without weights kept, and 12 dB above the stem itself."""
    found = Measurement("clip", "vocals", -12, 60, 1e-3, False, -50, -62)
    assert weights_to_keep({"a": 1}, lambda _: [found], lambda _: [found], Gate(40)).keep == ()
    with pytest.raises(OutOfReachError):
        weights_to_keep({"a": 1}, lambda _: [found], lambda _: [found], Gate(60))


@exact_products_of_bytes
def test_eight_bits_for_a_model_whose_stem_is_absent() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Difference(gain=1).eval()
    artifact = compile(model, precision="int8", min_snr_db=30)
    assert artifact.report.options["keep"] == ()
    [noise, song] = [item for item in artifact.report.fidelity if item.output == "noise" and not item.silent]
    for item in (noise, song):
        assert item.absent
        assert item.snr_db < 10
        assert item.error_to_mix_db <= -30


@exact_products_of_bytes
@pytest.mark.parametrize("options", [{"opset": 17, "target": "ort"}, {"opset": 24, "track": True}])
def test_beside_other_options(deep: nn.Module, loose: CompiledModel, options: dict[str, Any]) -> None:
    artifact = compile(deep, precision="int8", min_snr_db=5, **options)
    assert artifact.report.stored[INT8] == loose.report.stored[INT8]
    assert worst(artifact) > 20

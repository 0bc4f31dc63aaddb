"""Every weight matters, and the parity check notices when any of them is one per cent off.

A weight whose change went unnoticed would mean that its branch is too quiet for the check, or that the
graph does not use it at all.
"""

import copy
from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from onnx_demucs_compiler import CompiledModel
from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.fidelity import DEFAULT_MIN_SNR_DB, probe_signals, run_eager
from onnx_demucs_compiler.loading import from_module

GATE = DEFAULT_MIN_SNR_DB["fp32"]

# One per cent of these biases comes to less than the gate: 100.7 and 102.9 dB.
FAINT = {
    "crosstransformer.layers.0.norm2.bias",
    "crosstransformer.layers_t.0.self_attn.in_proj_bias",
}

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def weights(htdemucs: nn.Module) -> Arrays:
    return {name: value.detach().numpy() for name, value in htdemucs.named_parameters()}


@pytest.fixture(scope="module")
def initializers(compiled: CompiledModel) -> Arrays:
    return {item.name: numpy_helper.to_array(item) for item in compiled.model.graph.initializer}


def parts(array: np.ndarray) -> Iterator[np.ndarray]:
    """A weight as the graph may hold it, up to reshaping, transposing and a factor: whole, or by thirds."""
    yield array
    if len(array) % 3 == 0:
        # Query, key and value of an attention; or query alone, and key and value together.
        third = len(array) // 3
        for start, end in ((0, 1), (1, 2), (2, 3), (1, 3)):
            yield array[start * third : end * third]


def fingerprint(array: np.ndarray) -> tuple[float, ...]:
    """The same for an array reshaped, transposed, repeated or multiplied by a number."""
    values = np.unique(np.abs(array.astype(np.float64)))
    return (len(values), *np.round(np.quantile(values, [0.1, 0.3, 0.5, 0.7, 0.9]) / values[-1], 5))


@pytest.fixture(scope="module")
def homes(weights: Arrays, initializers: Arrays) -> dict[str, list[str]]:
    """The initializers that hold a weight: those of its name, or else those of its content."""
    contents: dict[tuple[float, ...], list[str]] = {}
    for name, array in initializers.items():
        if array.dtype == np.float32 and array.size > 1:
            contents.setdefault(fingerprint(array), []).append(name)
    found: dict[str, list[str]] = {}
    for name, array in weights.items():
        named = [home for home in initializers if home == name or home.startswith(f"{name}.")]
        alike = {home for part in parts(array) for home in contents.get(fingerprint(part), [])}
        found[name] = named or sorted(alike)
    return found


@pytest.fixture(scope="module")
def reference(htdemucs: nn.Module) -> tuple[torch.Tensor, np.ndarray]:
    """A signal and what the model makes of it in float64."""
    source = from_module(htdemucs)
    [noise] = probe_signals(source.example(), source.sample_rate)["noise"]
    [stems] = run_eager(copy.deepcopy(htdemucs).double(), (noise.double(),))
    return noise, stems


def reached(model: onnx.ModelProto, reference: tuple[torch.Tensor, np.ndarray]) -> float:
    """The worst SNR over the stems."""
    noise, wanted = reference
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    [stems] = session.run(None, {"mix": noise.numpy()})
    return min(snr_db(wanted[:, stem], stems[:, stem]) for stem in range(wanted.shape[1]))


def scaled(model: onnx.ModelProto, names: list[str], factor: float = 1.01) -> onnx.ModelProto:
    """The model with initializers one per cent larger."""
    mutant = onnx.ModelProto()
    mutant.CopyFrom(model)
    for item in mutant.graph.initializer:
        if item.name in names:
            item.CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(item) * np.float32(factor), item.name)
            )
    return mutant


def test_the_graph_itself_passes(compiled: CompiledModel, reference: tuple[torch.Tensor, np.ndarray]) -> None:
    assert reached(compiled.model, reference) > GATE + 10
    assert reached(scaled(compiled.model, []), reference) > GATE + 10


def test_every_weight_is_in_the_graph(homes: dict[str, list[str]]) -> None:
    assert [name for name, found in homes.items() if not found] == []


def test_weights_keep_their_names(homes: dict[str, list[str]]) -> None:
    renamed = {
        name: found for name, found in homes.items() if not all(home.startswith(name) for home in found)
    }
    assert renamed == {}


def test_no_weight_is_stored_twice(
    weights: Arrays, initializers: Arrays, homes: dict[str, list[str]]
) -> None:
    twice = {
        name
        for name, found in homes.items()
        if sum(initializers[home].size for home in found) > weights[name].size
    }
    # onnxscript's optimiser expands what is small; in a real model this one is over its limit.
    assert twice <= {"freq_emb.embedding.weight"}


def test_every_weight_matters(
    compiled: CompiledModel, homes: dict[str, list[str]], reference: tuple[torch.Tensor, np.ndarray]
) -> None:
    unnoticed = {
        name for name, found in homes.items() if reached(scaled(compiled.model, found), reference) >= GATE
    }
    assert unnoticed == FAINT


@pytest.mark.parametrize("name", sorted(FAINT))
def test_faint_weights_matter_when_ten_per_cent_off(
    name: str,
    compiled: CompiledModel,
    homes: dict[str, list[str]],
    reference: tuple[torch.Tensor, np.ndarray],
) -> None:
    assert reached(scaled(compiled.model, homes[name], 1.1), reference) < GATE

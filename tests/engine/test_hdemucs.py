"""HDemucs (v3) in its configurations: compiled through the default gate, or refused in one line."""

import copy
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from demucs.hdemucs import HDemucs
from onnx import numpy_helper
from thoroughly import thorough_but
from torch import nn

from onnx_demucs_compiler import CompiledModel, CompilerError, compile
from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.fidelity import DEFAULT_MIN_SNR_DB, probe_signals, run_eager
from onnx_demucs_compiler.graph.weights import weights_in
from onnx_demucs_compiler.loading import make_lively
from onnx_demucs_rules.attention.examples import local_state
from onnx_demucs_rules.examples import small_htdemucs

GATE = DEFAULT_MIN_SNR_DB["fp32"]
FOUR = ["drums", "bass", "other", "vocals"]

# One layer over frequency, then one that leaves a single frequency and has an LSTM and LocalState.
SMALL = {
    "sources": FOUR, "channels": 8, "depth": 2, "nfft": 64, "norm_starts": 1, "dconv_attn": 1,
    "dconv_lstm": 1, "dconv_depth": 1, "dconv_comp": 2, "samplerate": 8000,
}  # fmt: skip
MAGNITUDES = {"cac": False, "wiener_iters": -1, "end_iters": -1}
BANDS = {"nfft": 256, "depth": 3, "dconv_attn": 2, "dconv_lstm": 9, "multi_freqs": [0.25, 0.5]}

# The layer that leaves a single frequency alone.
SMALLEST = {"nfft": 16, "depth": 1, "norm_starts": 0, "dconv_attn": 0, "dconv_lstm": 0}


def hdemucs(frames: int = 40, **options: Any) -> nn.Module:
    """With lively weights; its segment is so many hops."""
    chosen = SMALL | options
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = HDemucs(
            segment=Fraction(frames * chosen["nfft"] // 4, chosen["samplerate"]), **chosen
        ).eval()
    make_lively(module, 0)
    return module


def htdemucs(**options: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = small_htdemucs(**options)
    make_lively(module, 0)
    return module


def run(compiled: CompiledModel | onnx.ModelProto, *inputs: np.ndarray) -> list[np.ndarray]:
    model = compiled.model if isinstance(compiled, CompiledModel) else compiled
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_inputs()]
    outputs: list[np.ndarray] = session.run(None, dict(zip(names, inputs, strict=True)))
    return outputs


def worst_snr(wanted: np.ndarray, stems: np.ndarray) -> float:
    return min(snr_db(wanted[:, stem], stems[:, stem]) for stem in range(wanted.shape[1]))


def in_float64(module: nn.Module, mix: torch.Tensor) -> np.ndarray:
    [stems] = run_eager(copy.deepcopy(module).double(), (mix.double(),))
    return stems


def assert_faithful(compiled: CompiledModel, least: float = 110) -> None:
    """Above the gate, which compile() has checked, and where small models belong."""
    report = compiled.report
    assert report.min_snr_db == GATE
    heard = [item for item in report.fidelity if not item.silent]
    assert {(item.signal, item.output) for item in heard} == {
        (signal, stem) for signal in ("noise", "song") for stem in compiled.metadata.sources
    }
    assert min(item.snr_db for item in heard) > least


CONFIGURATIONS: dict[str, tuple[nn.Module, dict[str, Any]]] = {
    "a-layer-over-time": (hdemucs(depth=3, dconv_lstm=2), {}),
    "without-waveform-branch": (hdemucs(hybrid=False), {}),
    "old-padding-batch-of-two": (hdemucs(210, hybrid_old=True), {"batch": 2}),
    "magnitudes-mono-three": (hdemucs(**MAGNITUDES, audio_channels=1, sources=FOUR[1:]), {}),
    "dconv-in-the-decoder-too": (hdemucs(dconv_mode=3, norm_groups=2, context_enc=1), {}),
    "another-length": (hdemucs(channels_time=4, growth=3, freq_emb=0, samplerate=48000), {"length": 16 * 61}),
    "n-fft-2048": (hdemucs(8, nfft=2048, stride=8, kernel_size=16, depth=3, dconv_mode=2), {}),
    "phase-of-the-mix": (hdemucs(cac=False), {"batch": "dynamic"}),
    "htdemucs-magnitudes": (htdemucs(**MAGNITUDES), {}),
}


FEW = ("without-waveform-branch", "magnitudes-mono-three", "another-length")


@pytest.mark.parametrize("name", thorough_but(FEW, CONFIGURATIONS))
def test_configurations_pass_the_default_gate(name: str) -> None:
    module, options = CONFIGURATIONS[name]
    compiled = compile(module, **options)
    assert_faithful(compiled)
    assert not {"Einsum", "ScatterND", "STFT", "DFT"} & set(compiled.report.operators)
    [port] = compiled.model.graph.input
    sizes = [size.dim_value for size in port.type.tensor_type.shape.dim]
    segment = int(module.segment * module.samplerate)
    batch = options.get("batch", 1)
    assert sizes == [
        0 if batch == "dynamic" else batch,
        module.audio_channels,
        options.get("length", segment),
    ]


def test_bands_of_frequencies() -> None:
    compiled = compile(hdemucs(**BANDS, multi_freqs_depth=2, norm_starts=2))
    assert_faithful(compiled)
    assert "ScatterND" not in compiled.report.operators
    assert {cost.rule: cost.fires for cost in compiled.report.costs}["slice-scatter-as-concat"] > 0


@pytest.fixture(scope="module")
def framed() -> nn.Module:
    """With 430 steps where the LSTM is: five frames of 200."""
    return hdemucs(430).requires_grad_(False)


@pytest.fixture(scope="module")
def compiled_framed(framed: nn.Module) -> CompiledModel:
    return compile(framed)


def test_frames_of_recurrence(compiled_framed: CompiledModel) -> None:
    assert_faithful(compiled_framed)
    graph = compiled_framed.model.graph
    [first, second] = [node for node in graph.node if node.op_type == "LSTM"]
    stored = {item.name: list(item.dims) for item in graph.initializer}
    for node, inputs in ((first, 8), (second, 16)):
        _, *weights = node.input
        assert [stored[name] for name in weights] == [[2, 32, inputs], [2, 32, 8], [2, 64]]
        assert {attribute.name: attribute.s for attribute in node.attribute}["direction"] == b"bidirectional"
    shapes = {value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
              for value in graph.value_info}  # fmt: skip
    assert shapes[first.output[0]] == [200, 2, 5, 8]


def test_nothing_of_a_length_squared_is_stored() -> None:
    compiled = compile(local_state(), example_input=torch.randn(1, 8, 1100), verify=False)
    sizes = [int(np.prod(item.dims)) for item in compiled.model.graph.initializer]
    assert max(sizes) == 1100


def test_every_weight_one_per_cent_off_is_noticed(framed: nn.Module, compiled_framed: CompiledModel) -> None:
    [noise] = probe_signals((torch.zeros(1, 2, 430 * 16),), 8000)["noise"]
    wanted = in_float64(framed, noise)
    weights = {name: value.numpy() for name, value in framed.named_parameters()}
    mutant = onnx.ModelProto()
    mutant.CopyFrom(compiled_framed.model)
    # A gate's weights are stored in halves, a recurrent layer's joined.
    stored = {
        name: [item for item in mutant.graph.initializer if name in weights_in(item.name, weights)]
        for name in weights
    }
    assert {name for name, items in stored.items() if not items} == set()

    def snr_with(name: str, factor: float) -> float:
        originals = [numpy_helper.to_array(item) for item in stored[name]]
        for item, original in zip(stored[name], originals, strict=True):
            its_own = np.isin(original, weights[name]) if len(weights_in(item.name, weights)) > 1 else True
            changed = np.where(its_own, original * np.float32(factor), original)
            item.CopyFrom(numpy_helper.from_array(changed, item.name))
        reached = worst_snr(wanted, run(mutant, noise.numpy())[0])
        for item, original in zip(stored[name], originals, strict=True):
            item.CopyFrom(numpy_helper.from_array(original, item.name))
        return reached

    unnoticed = {name for name in weights if snr_with(name, 1.01) >= GATE}
    local = "encoder.1.dconv.layers.0.4"
    # What a key's bias adds to a query's scores is the same for every key, and the softmax drops it.
    faint = {f"{local}.query.weight", f"{local}.query.bias", f"{local}.key.weight"}
    assert unnoticed <= faint | {f"{local}.key.bias"}
    assert {name: snr for name in faint if not (snr := snr_with(name, 1.5)) < GATE} == {}


def test_without_a_transformer_both_targets_are_one_graph(
    framed: nn.Module, compiled_framed: CompiledModel
) -> None:
    assert compile(framed, target="ort", verify=False).model.graph == compiled_framed.model.graph


def test_an_open_batch() -> None:
    module = hdemucs(450, **SMALLEST)
    compiled = compile(module, batch="dynamic")
    assert_faithful(compiled)
    for batch in (1, 3):
        mix = torch.randn(batch, 2, 450 * 4, generator=torch.Generator().manual_seed(batch))
        assert worst_snr(in_float64(module, mix), run(compiled, mix.numpy())[0]) > 110


def test_an_open_length_without_recurrence() -> None:
    module = hdemucs(**SMALLEST | {"dconv_lstm": 9})
    compiled = compile(module, length="dynamic")
    assert_faithful(compiled)
    for frames in (7, 90):
        mix = torch.randn(1, 2, frames * 4, generator=torch.Generator().manual_seed(frames))
        assert worst_snr(in_float64(module, mix), run(compiled, mix.numpy())[0]) > 110


def test_an_interface_put_together_again() -> None:
    module: Any = hdemucs(dconv_lstm=9)
    compiled = compile(module, interface="core")
    mix = torch.randn(1, 2, 40 * 16, generator=torch.Generator().manual_seed(3))
    mag = module._magnitude(module._spec(mix))
    halves, waveform = run(compiled, mix.numpy(), mag.numpy())
    parts = torch.from_numpy(halves).unflatten(2, (2, 2))
    stems = module._ispec(torch.complex(parts[:, :, :, 0], parts[:, :, :, 1]), 40 * 16) + waveform
    assert worst_snr(in_float64(module, mix), stems.numpy()) > 110


@pytest.mark.parametrize("build", [hdemucs, htdemucs])
def test_iterated_wiener_filters_are_refused(build: Callable[..., nn.Module]) -> None:
    with pytest.raises(CompilerError, match=r"iterates Wiener filters \(cac=False, wiener_iters=1\)"):
        compile(build(cac=False, wiener_iters=1, end_iters=1))


@pytest.mark.parametrize("kind", ["self", "cross"])
def test_sparse_attention_is_refused(kind: str) -> None:
    with pytest.raises(CompilerError, match=r"sparse attention.*xformers"):
        compile(htdemucs(t_layers=2, **{f"t_sparse_{kind}_attn": True}))

"""Models that are not Demucs: the default rules carry them through the default gate."""

import copy
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

from onnx_demucs_compiler import CompiledModel, RuleSet, compile, default
from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.fidelity import DEFAULT_MIN_SNR_DB, probe_signals, run_eager
from onnx_demucs_compiler.graph.weights import weights_in
from onnx_demucs_compiler.loading import make_lively

GATE = DEFAULT_MIN_SNR_DB["fp32"]


class ComplexConv2d(nn.Module):
    """A convolution with complex weights, of complex values."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.real = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.imag = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        real = self.real(z.real) - self.imag(z.imag)
        return torch.complex(real, self.real(z.imag) + self.imag(z.real))


class ComplexMask(nn.Module):
    """Deep complex U-Net in miniature: a bounded complex mask, multiplied with the mix."""

    def __init__(self) -> None:
        super().__init__()
        self.sources = ["speech", "noise"]
        self.samplerate, self.audio_channels, self.segment = 8000, 2, 1
        self.register_buffer("window", torch.hann_window(512))
        self.first = ComplexConv2d(2, 8)
        self.norm = nn.GroupNorm(2, 8)
        self.last = ComplexConv2d(8, 4)

    def forward(self, mix: Tensor) -> Tensor:
        batch, channels, samples = mix.shape
        z = torch.stft(mix.flatten(0, 1), 512, 128, window=self.window, return_complex=True)
        z = z.unflatten(0, (batch, channels))
        hidden = self.first(z)
        hidden = hidden * torch.sigmoid(self.norm(hidden.abs()))
        mask = self.last(hidden)
        size = mask.abs()
        mask = mask * (torch.tanh(size) / (size + 1e-8))
        stems = mask.unflatten(1, (2, channels)) * z[:, None]
        wave = torch.istft(stems.flatten(0, 2), 512, 128, window=self.window, length=samples)
        return wave.unflatten(0, (batch, 2, channels))


class Attentive(nn.Module):
    """Attention over time, then over bands, of a spectrogram whose n_fft is 400."""

    def __init__(self) -> None:
        super().__init__()
        self.sources = ["vocals", "rest"]
        self.samplerate, self.audio_channels, self.segment = 8000, 1, 1
        self.register_buffer("window", torch.hann_window(320))
        self.into = nn.Linear(201, 48)
        self.time_norm, self.time = nn.LayerNorm(48), nn.MultiheadAttention(48, 4, batch_first=True)
        self.band_norm, self.band = nn.LayerNorm(51), nn.MultiheadAttention(51, 3)
        self.out = nn.Linear(48, 2 * 201)

    def forward(self, mix: Tensor) -> Tensor:
        z = torch.stft(
            mix[:, 0], 400, 160, win_length=320, window=self.window, normalized=True, return_complex=True
        )
        x = self.into(torch.log1p(z.abs()).transpose(1, 2))
        h = self.time_norm(x)
        x = x + self.time(h, h, h)[0]
        h = self.band_norm(x.transpose(1, 2)).transpose(0, 1)
        x = x + self.band(h, h, h, need_weights=False)[0].permute(1, 2, 0)
        mask = torch.sigmoid(self.out(F.gelu(x))).unflatten(2, (2, 201)).permute(0, 2, 3, 1)
        stems = (z[:, None] * mask).flatten(0, 1)
        wave = torch.istft(
            stems, 400, 160, win_length=320, window=self.window, normalized=True, length=mix.shape[-1]
        )
        return wave.reshape(len(mix), 2, 1, -1)


class Recurrent(nn.Module):
    """A GRU over the frames of an un-centred spectrogram, whose window does not vanish at the ends."""

    def __init__(self) -> None:
        super().__init__()
        self.sources = ["drums", "rest"]
        self.samplerate, self.audio_channels, self.segment = 8000, 2, 0.5
        self.register_buffer("window", torch.hamming_window(256))
        self.gru = nn.GRU(2 * 129, 24, num_layers=2, batch_first=True, bidirectional=True)
        self.out = nn.Linear(48, 2 * 2 * 129)

    def forward(self, mix: Tensor) -> Tensor:
        z = torch.stft(
            mix.flatten(0, 1), 256, 64, window=self.window, center=False, return_complex=True
        ).unflatten(0, (len(mix), 2))
        hidden, _ = self.gru(z.abs().flatten(1, 2).transpose(1, 2))
        mask = torch.sigmoid(self.out(hidden)).transpose(1, 2).unflatten(1, (2, 2, 129))
        stems = (z.unsqueeze(1) * mask).flatten(0, 2)
        wave = torch.istft(stems, 256, 64, window=self.window, center=False, length=mix.shape[-1])
        return wave.unflatten(0, (len(mix), 2, 2))


EXAMPLES = {
    "complex-mask": (ComplexMask, (1, 2, 8000)),
    "attentive": (Attentive, (1, 1, 8000)),
    "recurrent": (Recurrent, (1, 2, 4096)),
}

# Which rules each model is there to exercise, besides those that lower what is complex.
EXERCISED = {
    ComplexMask: {"group-norm-in-stages"},
    Attentive: {"attention-as-matmul"},
    Recurrent: {"recurrent-weights-as-stored", "drop-zero-state"},
}


class ModelView:
    """One of the models, compiled."""

    def __init__(
        self, build: Callable[[], nn.Module], shape: tuple[int, ...], rules: RuleSet = default
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.module = build().eval()
            self.example = 0.1 * torch.randn(shape)
        make_lively(self.module, seed=0)
        self.compiled = compile(self.module, rules, example_input=self.example)


@pytest.fixture(scope="module", params=EXAMPLES)
def view(request: pytest.FixtureRequest) -> ModelView:
    return ModelView(*EXAMPLES[request.param])


def assert_faithful(compiled: CompiledModel, module: nn.Module) -> None:
    report = compiled.report
    assert report.min_snr_db == GATE
    measured = {(item.signal, item.output) for item in report.fidelity}
    assert measured == {(signal, stem) for signal in ("noise", "song", "silence") for stem in module.sources}
    assert [item for item in report.fidelity if item.silent != (item.signal == "silence")] == []
    assert [item for item in report.fidelity if not item.passes(GATE)] == []


def test_passes_the_default_gate(view: ModelView) -> None:
    assert_faithful(view.compiled, view.module)


def test_the_graph_is_plain_onnx(view: ModelView) -> None:
    model = view.compiled.model
    onnx.checker.check_model(model, full_check=True)
    assert [entry.domain for entry in model.opset_import] == [""]
    assert {node.domain for node in model.graph.node} == {""}
    found = set(view.compiled.report.operators)
    assert not found & {"STFT", "DFT", "ScatterND"}
    assert not {op for op in found if op.startswith("Random")}


def test_it_separates_into_its_sources(view: ModelView) -> None:
    batch, channels, samples = view.example.shape
    graph = view.compiled.model.graph
    shapes = {
        port.name: [size.dim_value for size in port.type.tensor_type.shape.dim]
        for port in (*graph.input, *graph.output)
    }
    assert shapes == {
        "mix": [batch, channels, samples],
        "stems": [batch, len(view.module.sources), channels, samples],
    }


def test_every_weight_one_per_cent_off_is_noticed(view: ModelView) -> None:
    noise = probe_signals((view.example,), view.module.samplerate)["noise"]
    [reference] = run_eager(copy.deepcopy(view.module).double(), (noise[0].double(),))
    mutant = onnx.ModelProto()
    mutant.CopyFrom(view.compiled.model)
    assert worst_snr(mutant, noise[0].numpy(), reference) > GATE
    weights = {name: value.detach() for name, value in view.module.named_parameters()}
    stored = {name: item for item in mutant.graph.initializer for name in weights_in(item.name, weights)}
    assert set(weights) - set(stored) == set()
    found = {}
    for name, weight in weights.items():
        original = numpy_helper.to_array(stored[name])
        changed = np.where(np.isin(original, weight.numpy()), original * np.float32(1.01), original)
        stored[name].CopyFrom(numpy_helper.from_array(changed, stored[name].name))
        found[name] = worst_snr(mutant, noise[0].numpy(), reference)
        stored[name].CopyFrom(numpy_helper.from_array(original, stored[name].name))
    assert {name: snr for name, snr in found.items() if not snr < GATE} == {}


def worst_snr(model: onnx.ModelProto, mix: np.ndarray, reference: np.ndarray) -> float:
    """Over the stems, in dB."""
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    [stems] = session.run(None, {"mix": mix})
    return min(snr_db(reference[:, stem], stems[:, stem]) for stem in range(stems.shape[1]))


def test_the_rules_that_are_meant_fire(view: ModelView) -> None:
    meant = {"stft-as-matmul", "istft-as-matmul", "complex-as-real-pairs"} | EXERCISED[type(view.module)]
    assert meant <= {cost.rule for cost in view.compiled.report.costs if cost.fires}


def test_the_classic_lowering_passes_the_same_gate() -> None:
    view = ModelView(*EXAMPLES["complex-mask"], rules=default - ("stft-as-matmul", "istft-as-matmul"))
    assert_faithful(view.compiled, view.module)
    costs = {cost.rule: cost.fires for cost in view.compiled.report.costs}
    assert (costs["stft-as-conv"], costs["istft-as-conv"]) == (1, 1)

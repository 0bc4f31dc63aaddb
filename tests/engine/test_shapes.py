"""Every interface, batch and length: compiled, checked against the model, and put together again."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from demucs.apply import BagOfModels, apply_model
from demucs.hdemucs import HDemucs
from thoroughly import thorough_but
from torch import nn

from onnx_demucs_compiler import CompiledModel, UsageError, compile, verify
from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.fidelity import open_session, run_eager
from onnx_demucs_compiler.loading import make_lively
from onnx_demucs_rules.examples import plain_htdemucs, small_htdemucs
from onnx_demucs_rules.stems.examples import OneEach, Separator

SOURCES = ["drums", "bass", "other", "vocals"]
SAMPLES = 4096


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    made = plain_htdemucs(SAMPLES, sources=SOURCES)
    make_lively(made, 1)
    return made


@pytest.fixture(scope="module")
def mix() -> torch.Tensor:
    return torch.randn(1, 2, SAMPLES, generator=torch.Generator().manual_seed(3))


def ports(compiled: CompiledModel) -> dict[str, list[Any]]:
    graph = compiled.model.graph
    return {
        port.name: [size.dim_param or size.dim_value for size in port.type.tensor_type.shape.dim]
        for port in [*graph.input, *graph.output]
    }


def run(compiled: CompiledModel, **feeds: np.ndarray) -> list[np.ndarray]:
    session = open_session(compiled.model)
    outputs: list[np.ndarray] = session.run(None, feeds)
    return outputs


def recomposed(model: Any, spectrum: torch.Tensor, waveform: np.ndarray) -> np.ndarray:
    """Stems from the two halves of a cut graph, by the model's own inverse STFT."""
    stems: np.ndarray = (model._ispec(spectrum, waveform.shape[-1]) + torch.from_numpy(waveform)).numpy()
    return stems


def core(model: Any, compiled: CompiledModel, mix: torch.Tensor) -> np.ndarray:
    mag = model._magnitude(model._spec(mix))
    spectrum, waveform = run(compiled, mix=mix.numpy(), mag=mag.numpy())
    halves = torch.from_numpy(spectrum).unflatten(2, (2, 2))
    return recomposed(model, torch.complex(halves[:, :, :, 0], halves[:, :, :, 1]), waveform)


def spectral(model: Any, compiled: CompiledModel, mix: torch.Tensor) -> np.ndarray:
    z = model._spec(mix)
    real, imag, waveform = run(
        compiled, spec_real=z.real.numpy(), spec_imag=z.imag.numpy(), audio=mix.numpy()
    )
    return recomposed(model, torch.complex(torch.from_numpy(real), torch.from_numpy(imag)), waveform)


def openkara(model: Any, compiled: CompiledModel, mix: torch.Tensor) -> np.ndarray:
    z = model._spec(mix)
    halves = torch.stack([z.real, z.imag], dim=2).numpy()
    spectrum, waveform = run(compiled, spectral=halves, mix=mix.numpy())
    parts = torch.from_numpy(spectrum)
    return recomposed(model, torch.complex(parts[:, :, :, 0], parts[:, :, :, 1]), waveform)


PORTS = {
    "core": {
        "mix": [1, 2, SAMPLES], "mag": [1, 4, 256, 32],
        "spec_out": [1, 4, 4, 256, 32], "time_out": [1, 4, 2, SAMPLES],
    },
    "spectral": {
        "spec_real": [1, 2, 256, 32], "spec_imag": [1, 2, 256, 32], "audio": [1, 2, SAMPLES],
        "out_spec_real": [1, 4, 2, 256, 32], "out_spec_imag": [1, 4, 2, 256, 32],
        "out_wave": [1, 4, 2, SAMPLES],
    },
    "openkara": {
        "spectral": [1, 2, 2, 256, 32], "mix": [1, 2, SAMPLES],
        "spectral_out": [1, 4, 2, 2, 256, 32], "time_out": [1, 4, 2, SAMPLES],
    },
}  # fmt: skip


@pytest.mark.parametrize(
    "drive", thorough_but({core}, [core, spectral, openkara]), ids=lambda drive: drive.__name__
)
def test_a_cut_graph_and_the_hosts_stft_are_the_model(
    drive: Any, model: nn.Module, mix: torch.Tensor
) -> None:
    compiled = compile(model, interface=drive.__name__)
    assert ports(compiled) == PORTS[drive.__name__]
    assert compiled.metadata.n_fft == 512
    with torch.inference_mode():
        wanted = model(mix).numpy()
        got = drive(model, compiled, mix)
    assert snr_db(wanted, got) > 110


def test_the_openkara_dialect(model: nn.Module) -> None:
    compiled = compile(model, interface="openkara", stems=("vocals", "bass"), verify=False)
    props = {item.key: item.value for item in compiled.model.metadata_props}
    assert props["openkara.stem_profile"] == "vocals,bass"
    assert {key for key in props if key.startswith("openkara.")} == {
        f"openkara.{key}"
        for key in ("model_cache_key", "optimized_by", "spectral_contract", "tensor_interface",
                    "stem_profile", "input_semantics", "output_semantics")
    }  # fmt: skip


@pytest.mark.parametrize("make", thorough_but({plain_htdemucs}, [plain_htdemucs, small_htdemucs]))
def test_batch_and_length_left_open(make: Any, tmp_path: Any) -> None:
    own: Any = make(SAMPLES, sources=SOURCES)
    make_lively(own, 1)
    compiled = compile(own, batch="dynamic", length="dynamic")
    assert ports(compiled) == {"mix": ["batch", 2, "samples"], "stems": ["batch", 4, 2, "samples"]}
    verify(compiled.save(tmp_path / "open.onnx"), own)
    own.use_train_segment = False
    for batch, hops in ((1, 4), (3, 33), (1, 300)):
        mix = torch.randn(batch, 2, 128 * hops, generator=torch.Generator().manual_seed(hops))
        with torch.inference_mode():
            wanted = own.double()(mix.double()).numpy()
        assert snr_db(wanted, run(compiled, mix=mix.numpy())[0]) > 110


def test_a_batch_of_its_own(model: nn.Module) -> None:
    compiled = compile(model, batch=3)
    assert ports(compiled) == {"mix": [3, 2, SAMPLES], "stems": [3, 4, 2, SAMPLES]}


def test_a_length_of_its_own(model: nn.Module) -> None:
    compiled = compile(model, length=1280)
    assert ports(compiled)["stems"] == [1, 4, 2, 1280]
    assert compiled.metadata.segment == 1280


def test_a_length_that_is_no_multiple_of_the_hop(model: nn.Module) -> None:
    with pytest.raises(UsageError, match="hop of HTDemucs, 128 samples; the nearest is 1024"):
        compile(model, length=1030)


def choices() -> Iterator[Any]:
    yield {"stems": ("vocals", "drums")}, ("vocals", "drums"), [3, 0]
    yield {"stems": ("bass",), "interface": "core"}, ("bass",), [1]


@pytest.mark.parametrize(("choice", "names", "indices"), list(choices()))
def test_chosen_stems(
    choice: dict[str, Any], names: tuple[str, ...], indices: list[int], model: nn.Module, tmp_path: Any
) -> None:
    compiled = compile(model, **choice)
    assert compiled.metadata.sources == names
    measured = verify(compiled.save(tmp_path / "chosen.onnx"), model)
    assert len({item.output for item in measured}) == len(names) * len(compiled.model.graph.output)
    assert all(port[1] == len(indices) for port in list(ports(compiled).values())[-1:])


@pytest.mark.parametrize("method", ["add", "minus"])
def test_two_stems(method: str, model: nn.Module, mix: torch.Tensor, tmp_path: Any) -> None:
    compiled = compile(model, two_stems="vocals", other_method=method)
    assert compiled.metadata.sources == ("vocals", "no_vocals")
    verify(compiled.save(tmp_path / "two.onnx"), model)
    with torch.inference_mode():
        stems = model(mix).numpy()
    vocals = stems[:, 3]
    rest = mix.numpy() - vocals if method == "minus" else stems[:, :3].sum(axis=1)
    assert snr_db(np.stack([vocals, rest], axis=1), run(compiled, mix=mix.numpy())[0]) > 110


def test_one_stem_of_a_bag_runs_one_member() -> None:
    bag = OneEach()
    whole, one = (
        compile(bag, stems=stems, example_input=torch.randn(1, 2, 64)) for stems in (None, ("vocals",))
    )
    assert (whole.report.operators["Conv"], one.report.operators["Conv"]) == (3, 1)
    assert one.report.bytes < whole.report.bytes


@pytest.mark.parametrize("interface", ["core", "spectral", "openkara"])
def test_a_model_without_spectrogram(interface: str) -> None:
    with pytest.raises(UsageError, match="Separator has no spectrogram branch to leave to the host"):
        compile(Separator(), interface=interface, example_input=torch.randn(1, 2, 64))


def test_an_open_length_of_any_module() -> None:
    module = Separator().eval()
    compiled = compile(module, length="dynamic", example_input=torch.randn(1, 2, 64))
    [mix] = compiled.model.graph.input
    assert mix.type.tensor_type.shape.dim[2].dim_param == "samples"
    longer = torch.randn(1, 2, 100)
    [stems] = open_session(compiled.model).run(None, {"mix": longer.numpy()})
    [wanted] = run_eager(module, (longer,))
    assert snr_db(wanted, stems) > 100


def test_magnitude_masks_need_the_spectrum() -> None:
    with pytest.raises(UsageError, match=r"HTDemucs masks magnitudes \(cac=False\)"):
        compile(small_htdemucs(cac=False), interface="core")


@pytest.mark.parametrize("interface", ["core", "spectral", "openkara"])
def test_a_padding_that_no_host_can_tell(interface: str) -> None:
    old = HDemucs(SOURCES, channels=8, nfft=512, depth=2, cac=True, hybrid_old=True)
    with pytest.raises(UsageError, match=r"HDemucs pads its STFT in a way of its own \(hybrid_old=True\)"):
        compile(old, interface=interface, example_input=torch.randn(1, 2, SAMPLES))


def test_a_stem_that_is_not_there(model: nn.Module) -> None:
    with pytest.raises(UsageError, match="no stem guitar; it has drums, bass, other, vocals"):
        compile(model, stems=("guitar",))


@pytest.fixture(scope="module")
def bag() -> nn.Module:
    """Two models of which each gives one stem, as htdemucs_ft has four."""
    members = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        members.append(plain_htdemucs(SAMPLES, t_layers=1))
        make_lively(members[-1], seed)
    made: nn.Module = BagOfModels(members, [[1.0, 0.0], [0.0, 1.0]])
    return made


def test_a_bag_is_one_graph(bag: Any, mix: torch.Tensor) -> None:
    compiled = compile(bag)
    wanted = apply_model(bag, mix, shifts=0, split=False).numpy()
    assert snr_db(wanted, run(compiled, mix=mix.numpy())[0]) > 100
    one = compile(bag, stems=("vocals",))
    assert one.report.operators["Softmax"] * 2 == compiled.report.operators["Softmax"]
    assert one.report.operators["Conv"] * 2 == compiled.report.operators["Conv"]
    assert snr_db(wanted[:, 1:], run(one, mix=mix.numpy())[0]) > 100


def test_a_bag_with_the_stft_left_to_the_host(bag: Any, mix: torch.Tensor) -> None:
    compiled = compile(bag, interface="core")
    wanted = apply_model(bag, mix, shifts=0, split=False).numpy()
    with torch.inference_mode():
        assert snr_db(wanted, core(bag.models[0], compiled, mix)) > 100

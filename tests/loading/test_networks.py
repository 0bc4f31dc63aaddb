"""Networks of Music-Source-Separation-Training, by checkpoint and configuration."""

from __future__ import annotations

import re
import sys
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from onnx_demucs_compiler import compile as compile_model
from onnx_demucs_compiler.cli import app
from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.loading import family_of, load_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

pytest.importorskip("pymss_core")

from onnx_demucs_compiler.loading.families.networks import NETWORKS
from onnx_demucs_compiler.loading.families.networks.config import read_config
from onnx_demucs_compiler.loading.families.networks.network import Network

SMALL = "dim=16&depth=1&heads=2&dim_head=8&mlp_expansion_factor=1&chunk_size=8192"
ROFORMERS = {
    "bs_roformer": f"untrained:bs_roformer?{SMALL}&num_stems=2",
    "mel_band_roformer": f"untrained:mel_band_roformer?{SMALL}&num_bands=16"
    "&stft_n_fft=512&stft_win_length=512&stft_hop_length=128",
}
VALUES: Mapping[str, Any] = {
    "audio": {"chunk_size": 8192, "sample_rate": 22050},
    "model": {
        "dim": 16, "depth": 1, "stereo": True, "num_stems": 2, "heads": 2, "dim_head": 8, "stft_n_fft": 64,
        "stft_win_length": 64, "stft_hop_length": 32, "mlp_expansion_factor": 1, "freqs_per_bands": [16, 17],
    },
    "training": {"instruments": ["speech", "noise"], "target_instrument": None},
}  # fmt: skip


def written(folder: Path, change: Callable[[dict[str, Any]], object] = lambda _: None) -> Path:
    """A configuration, changed."""
    values = deepcopy(dict(VALUES))
    change(values)
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def state_of(config: Path) -> dict[str, torch.Tensor]:
    """Weights that fit a configuration."""
    from onnx_demucs_compiler.loading.families.networks.network import build

    return build(read_config(config), "x").network.state_dict()


@pytest.mark.parametrize("spec", ROFORMERS.values(), ids=ROFORMERS)
def test_a_roformer_compiles_from_waveform_to_stems(spec: str) -> None:
    source = load_model(spec)
    compiled = compile_model(source)
    assert family_of(source.module) is NETWORKS
    assert compiled.metadata.sources == source.sources
    [output] = compiled.model.graph.output
    sizes = [dim.dim_value for dim in output.type.tensor_type.shape.dim]
    assert sizes == [1, len(source.sources), 2, 8192]
    sounding = [item for item in compiled.report.fidelity if item.signal != "silence"]
    assert sounding
    assert min(item.snr_db for item in sounding) > 100


def test_untrained_weights_depend_on_the_name_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one = load_model(ROFORMERS["bs_roformer"])
    assert torch.equal(before, torch.random.get_rng_state())
    assert one.weights_digest() == load_model(ROFORMERS["bs_roformer"]).weights_digest()
    assert one.weights_digest() != load_model(ROFORMERS["bs_roformer"] + "&seed=2").weights_digest()


WRAPPED: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "bare": lambda state: state,
    "beside-others": lambda state: {"state_dict": state, "epoch": 3},
    "of-a-trainer": lambda state: {f"model.{name}": value for name, value in state.items()},
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_a_checkpoint_and_its_configuration(tmp_path: Path, wrap: Callable[[Any], Any]) -> None:
    config = written(tmp_path)
    state = {name: torch.full_like(value, 0.25) for name, value in state_of(config).items()}
    torch.save(wrap(state), tmp_path / "speech.ckpt")
    source = load_model(str(tmp_path / "speech.ckpt"), config=config)
    assert (source.name, source.sources, source.sample_rate) == ("speech", ("speech", "noise"), 22050)
    assert (source.audio_channels, source.segment) == (2, 8192)
    assert [name for name, _ in source.checkpoints] == ["speech.ckpt"]
    assert isinstance(source.module, Network)
    assert all((value == 0.25).all() for value in source.module.network.state_dict().values())


def test_weights_in_safetensors(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    config = written(tmp_path)
    save_file({name: value.clone() for name, value in state_of(config).items()}, tmp_path / "x.safetensors")
    assert load_model(str(tmp_path / "x.safetensors"), config=config).name == "x"


def test_tuples_in_a_configuration(tmp_path: Path) -> None:
    config = written(tmp_path)
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("freqs_per_bands:", "freqs_per_bands: !!python/tuple"), encoding="utf-8")
    torch.save(state_of(config), tmp_path / "x.ckpt")
    load_model(str(tmp_path / "x.ckpt"), config=config)


def test_a_target_is_the_only_stem(tmp_path: Path) -> None:
    def one(values: dict[str, Any]) -> None:
        values["model"]["num_stems"] = 1
        values["training"]["target_instrument"] = "speech"

    config = written(tmp_path, one)
    torch.save(state_of(config), tmp_path / "x.ckpt")
    source = load_model(str(tmp_path / "x.ckpt"), config=config)
    assert source.sources == ("speech",)
    assert source.module(torch.zeros(1, 2, 8192)).shape == (1, 1, 2, 8192)


UNFIT: Mapping[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "stems": (lambda values: values["model"].update(num_stems=3), "names 2 stems .*num_stems is 3"),
    "no-stems": (lambda values: values.pop("training"), "does not name its stems"),
    "no-chunk": (lambda values: values.pop("audio"), "no whole number above 0 at audio.chunk_size"),
    "architecture": (lambda values: values.update(model_type="resunet"), "Unsupported architecture"),
    "other-kind": (
        lambda values: values.update(model_type="apollo"),
        "is of a apollo; known are bs_roformer",
    ),
    "bands": (lambda values: values["model"].update(freqs_per_bands=[1, 2]), "makes no bs_roformer"),
}


@pytest.mark.parametrize(("change", "reason"), UNFIT.values(), ids=UNFIT)
def test_a_configuration_that_makes_no_network(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    torch.save({}, tmp_path / "x.ckpt")
    with pytest.raises(CompilerError, match=reason):
        load_model(str(tmp_path / "x.ckpt"), config=written(tmp_path, change))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("audio: [", "is no YAML"),
        ("- 1", "holds no names with values"),
        ("audio: !!python/object:decimal.Decimal {}", "asks for more than values"),
    ],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CompilerError, match=reason) as raised:
        load_model("x.ckpt", config=path)
    assert "\n" not in str(raised.value)


def test_weights_of_another_configuration(tmp_path: Path) -> None:
    state = state_of(written(tmp_path, lambda values: values["model"].update(dim=8)))
    state["more"] = torch.zeros(1)
    torch.save(state, tmp_path / "x.ckpt")
    config = written(tmp_path)
    told = re.escape(f"x.ckpt is not of {config}: it has beside it more; it has in another shape ")
    with pytest.raises(CompilerError, match=told):
        load_model(str(tmp_path / "x.ckpt"), config=config)


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    config = written(tmp_path)
    state = state_of(config)
    next(iter(state.values())).fill_(torch.nan)
    torch.save(state, tmp_path / "x.ckpt")
    with pytest.raises(CompilerError, match="not finite"):
        load_model(str(tmp_path / "x.ckpt"), config=config)


def test_a_file_that_holds_more_than_weights(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "hyper_parameters": np.random.default_rng(0)}, tmp_path / "x.ckpt")
    with pytest.raises(CompilerError, match="holds more than weights"):
        load_model(str(tmp_path / "x.ckpt"), config=written(tmp_path))
    (tmp_path / "x.ckpt").write_bytes(b"nothing")
    with pytest.raises(CompilerError, match="is damaged"):
        load_model(str(tmp_path / "x.ckpt"), config=written(tmp_path))


@pytest.mark.parametrize(
    ("query", "reason"),
    [("dim=x", "cannot read 'dim=x'"), ("size=3", "has no number 'size'; it has dim, depth")],
)
def test_an_untrained_network_of_unknown_numbers(query: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        load_model(f"untrained:bs_roformer?{query}")


def test_arguments_that_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leave out --config"):
        load_model(ROFORMERS["bs_roformer"], config=written(tmp_path))
    with pytest.raises(UsageError, match="leave out --repo"):
        load_model("x.ckpt", tmp_path, config=written(tmp_path))


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymss_core", None)
    result = CliRunner().invoke(app, ["compile", "x.ckpt", "--config", str(written(tmp_path))])
    assert result.exit_code == 1
    assert "pip install 'onnx-demucs-compiler[networks]'" in " ".join(result.output.split())


def test_the_steps_between_chunks(tmp_path: Path) -> None:
    def step(**inference: int) -> int:
        config = written(tmp_path, lambda values: values.update(inference=inference))
        return read_config(config).step

    assert (step(), step(num_overlap=4), step(overlap_size=192, num_overlap=4)) == (4096, 2048, 8000)
    with pytest.raises(CompilerError, match="no step between chunks"):
        step(overlap_size=8192)


def test_another_length_overlaps_as_much() -> None:
    source = load_model(ROFORMERS["bs_roformer"])
    changed = NETWORKS.at_length(source, 4096)
    assert (source.fade_step, changed.segment, changed.fade_step) == (4096, 4096, 2048)

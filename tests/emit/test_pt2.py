"""torch.export's own file."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import torch
from emit_examples import Emit
from torch import nn

from onnx_demucs_compiler import compile
from onnx_demucs_compiler.artifact.metadata import ArtifactMetadata
from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.fidelity import worst_db
from onnx_demucs_compiler.emit.emitter import METADATA
from onnx_demucs_rules.examples import plain_htdemucs


def test_it_is_the_model(emitted: Emit, htdemucs: nn.Module, tmp_path: Path) -> None:
    path = emitted("pt2").save(tmp_path / "small.pt2")
    mix = torch.randn(1, 2, 4096, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        wanted = htdemucs(mix)
        found = torch.export.load(path).module()(mix)
    assert snr_db(wanted.numpy().astype(np.float64), found.numpy()) > 110
    assert worst_db(emitted("pt2").report.fidelity) > 110


def test_no_value_is_complex_and_every_operator_is_aten(emitted: Emit) -> None:
    program = torch.export.load(io.BytesIO(emitted("pt2").content))
    values = [node.meta.get("val") for node in program.graph.nodes]
    assert not any(isinstance(value, torch.Tensor) and value.is_complex() for value in values)
    assert all(name.startswith("aten.") for name in emitted("pt2").report.operators)
    assert emitted("pt2").report.nodes > 500


def test_it_says_what_it_is(emitted: Emit) -> None:
    extra = {METADATA: ""}
    torch.export.load(io.BytesIO(emitted("pt2").content), extra_files=extra)
    metadata = ArtifactMetadata.from_props(json.loads(extra[METADATA]))
    assert metadata == emitted("pt2").metadata
    assert (metadata.target, metadata.sources, metadata.segment) == ("pt2", ("drums", "vocals"), 4096)
    assert "stft-as-matmul" in metadata.rules
    assert dict(metadata.versions).keys() == {"onnx-demucs-compiler", "demucs", "numpy", "torch"}


def test_it_names_its_rules_and_nothing_of_this_machine(emitted: Emit) -> None:
    with zipfile.ZipFile(io.BytesIO(emitted("pt2").content)) as file:
        told = b"".join(file.read(name) for name in file.namelist() if name.endswith(".json"))
    assert b"stft-as-matmul" in told
    for place in (torch.__file__, __file__):
        assert str(Path(place).parent).encode() not in told
    assert b".py" not in told


def test_the_same_model_gives_the_same_bytes() -> None:
    module = plain_htdemucs()
    one, other = (compile(module, emit="pt2", verify=False).content for _ in range(2))
    assert one == other


def test_sizes_may_stay_open(tmp_path: Path) -> None:
    module = plain_htdemucs()
    path = compile(module, emit="pt2", batch="dynamic").save(tmp_path / "open.pt2")
    mix = torch.randn(3, 2, 4096, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        found = torch.export.load(path).module()(mix)
        wanted = module(mix)
    assert snr_db(wanted.numpy().astype(np.float64), found.numpy()) > 100


def test_the_stft_may_be_left_to_the_host() -> None:
    made = compile(plain_htdemucs(), emit="pt2", interface="core")
    program = torch.export.load(io.BytesIO(made.content))
    assert len(program.graph_signature.user_inputs) == len(program.graph_signature.user_outputs) == 2
    assert worst_db(made.report.fidelity) > 100

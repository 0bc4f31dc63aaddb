"""LiteRT's files, where litert-torch is installed."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from emit_examples import Emit
from torch import nn

from onnx_demucs_compiler import compile
from onnx_demucs_compiler.artifact.metadata import ArtifactMetadata
from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.fidelity import worst_db
from onnx_demucs_compiler.emit.measuring import verify_emitted
from onnx_demucs_rules.examples import plain_htdemucs

pytest.importorskip("litert_torch", reason="litert-torch is not installed")
from ai_edge_litert.interpreter import Interpreter


def test_it_is_the_model(emitted: Emit, htdemucs: nn.Module, tmp_path: Path) -> None:
    path = emitted("tflite").save(tmp_path / "small.tflite")
    mix = np.random.default_rng(3).standard_normal((1, 2, 4096), np.float32)
    with torch.inference_mode():
        wanted = htdemucs(torch.from_numpy(mix)).numpy()
    found = Interpreter(model_path=str(path)).get_signature_runner()(mix=mix)
    assert list(found) == ["stems"]
    assert snr_db(wanted.astype(np.float64), found["stems"]) > 110
    assert worst_db(emitted("tflite").report.fidelity) > 110


def test_it_says_what_it_is(emitted: Emit) -> None:
    with zipfile.ZipFile(io.BytesIO(emitted("tflite").content)) as behind:
        metadata = ArtifactMetadata.from_props(json.loads(behind.read("onnx_demucs.json")))
    assert metadata == emitted("tflite").metadata
    assert (metadata.target, metadata.sources) == ("tflite", ("drums", "vocals"))
    assert {"litert-torch", "ai-edge-litert"} <= dict(metadata.versions).keys()


def test_its_operators_are_listed(emitted: Emit) -> None:
    report = emitted("tflite").report
    assert report.operators["CONV_2D"] > 10
    assert "DELEGATE" not in report.operators
    assert report.nodes == sum(report.operators.values())


def test_ports_go_by_name_and_the_same_model_gives_the_same_bytes() -> None:
    module = plain_htdemucs()
    one, other = (compile(module, emit="tflite", interface="core") for _ in range(2))
    assert one.content == other.content
    assert worst_db(one.report.fidelity) > 100


def test_it_is_measured_again(emitted: Emit, htdemucs: nn.Module, tmp_path: Path) -> None:
    path = emitted("tflite").save(tmp_path / "small.tflite")
    assert worst_db(verify_emitted(path, htdemucs)) > 110

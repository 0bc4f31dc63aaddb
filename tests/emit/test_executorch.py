"""ExecuTorch's files, where it is installed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from onnx_demucs_compiler import compile
from onnx_demucs_compiler.artifact.emitted import EmittedModel
from onnx_demucs_compiler.artifact.metadata import ArtifactMetadata
from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.fidelity import worst_db
from onnx_demucs_compiler.emit.measuring import verify_emitted
from onnx_demucs_compiler.loading import make_lively
from onnx_demucs_rules.examples import small_htdemucs

pytest.importorskip("executorch.runtime", reason="executorch is not installed")
from executorch.runtime import Runtime


@pytest.fixture(scope="module")
def shallow() -> nn.Module:
    """An HTDemucs with one layer, residual branches and a transformer, since lowering takes a minute."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = small_htdemucs(depth=1, dconv_comp=2, t_layers=2)
    make_lively(module, 0)
    return module


@pytest.fixture(scope="module")
def emitted(shallow: nn.Module) -> EmittedModel:
    return compile(shallow, emit="pte")


def test_it_is_the_model(emitted: EmittedModel, shallow: nn.Module, tmp_path: Path) -> None:
    path = emitted.save(tmp_path / "small.pte")
    mix = torch.randn(1, 2, 4096, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        wanted = shallow(mix).numpy()
    [found] = Runtime.get().load_program(path).load_method("forward").execute([mix])
    assert snr_db(wanted.astype(np.float64), found.numpy()) > 110
    assert worst_db(emitted.report.fidelity) > 110


def test_it_says_what_it_is(emitted: EmittedModel) -> None:
    program = Runtime.get().load_program(emitted.content)
    told = {name: program.load_method(name).execute([])[0] for name in program.method_names - {"forward"}}
    assert ArtifactMetadata.from_props(told) == emitted.metadata
    assert (emitted.metadata.target, emitted.metadata.sources) == ("pte", ("drums", "vocals"))


def test_norms_and_attention_are_in_forms_that_it_computes_well(emitted: EmittedModel) -> None:
    fires = {cost.rule: cost.fires for cost in emitted.report.costs}
    assert fires["group-norm-as-layer-norm"] > 0
    assert fires["attention-written-out"] == 4
    assert not {"group-norm-in-stages", "layer-norm-in-stages"} & set(fires)
    operators = emitted.report.operators
    assert operators["executorch_call_delegate"] > 10
    assert not any(name.startswith(("aten.where", "aten.mm", "aten.addmm")) for name in operators)
    # Each of the four attentions would have four more.
    assert operators["aten.expand_copy.default"] < 12


def test_it_is_measured_again(emitted: EmittedModel, shallow: nn.Module, tmp_path: Path) -> None:
    assert worst_db(verify_emitted(emitted.save(tmp_path / "small.pte"), shallow)) > 110

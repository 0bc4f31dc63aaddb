"""Checkpoints as demucs releases mdx_q and mdx_extra_q: quantised by diffq."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from demucs import states
from torch import nn

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.loading import load_model

Package = dict[str, Any]
Write = Callable[..., Path]

diffq = pytest.importorskip("diffq", reason="diffq is built from source, and is not installed here")


@pytest.fixture
def quantised(tiny_model: nn.Module, package: Package) -> Package:
    """The tiny model as ``serialize_model`` lays it out with a quantizer; ``tiny_model`` is quantised too."""
    quantizer = diffq.DiffQuantizer(tiny_model, min_size=0.0005, group_size=8)
    tiny_model.eval()
    package["state"] = states.get_state(tiny_model, quantizer)
    return package


def without_diffq(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "diffq"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "diffq", None)


@pytest.fixture
def audio() -> torch.Tensor:
    return torch.randn(1, 2, 1600, generator=torch.Generator().manual_seed(0))


def test_a_quantised_checkpoint_gives_the_quantised_model(
    tiny_model: nn.Module, quantised: Package, write_checkpoint: Write, audio: torch.Tensor
) -> None:
    path = write_checkpoint(quantised)
    assert len(quantised["state"]["quantized"]) > 10
    module = load_model(str(path)).module
    with torch.no_grad():
        torch.testing.assert_close(module(audio), tiny_model(audio), rtol=0, atol=0)
    assert all(parameter.dtype == torch.float32 for parameter in module.parameters())


def test_quantising_changes_the_model(
    tiny_model: nn.Module, package: Package, write_checkpoint: Write, audio: torch.Tensor
) -> None:
    plain = load_model(str(write_checkpoint(package))).module
    diffq.DiffQuantizer(tiny_model, min_size=0.0005, group_size=8)
    with torch.no_grad():
        assert not torch.allclose(tiny_model.eval()(audio), plain(audio), rtol=1e-2)


def test_a_bag_of_quantised_members(
    tiny_model: nn.Module, quantised: Package, write_checkpoint: Write, audio: torch.Tensor
) -> None:
    folder = write_checkpoint(quantised).parent
    (folder / "mine_q.yaml").write_text("models: ['deadbeef', 'deadbeef']\nsegment: 0.2\n")
    module = load_model("mine_q", repo=folder).module
    with torch.no_grad():
        torch.testing.assert_close(module(audio), tiny_model(audio), rtol=0, atol=0)


@pytest.mark.parametrize("spec", ["deadbeef", "mine_q"], ids=["checkpoint", "bag"])
def test_without_diffq_the_message_says_what_to_install(
    spec: str, quantised: Package, write_checkpoint: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_checkpoint(quantised)
    (path.parent / "mine_q.yaml").write_text("models: ['deadbeef']\n")
    without_diffq(monkeypatch)
    with pytest.raises(CompilerError) as error:
        load_model(spec, repo=path.parent)
    assert str(error.value) == (
        f"the checkpoint {path} is quantised with DiffQ, which is not installed; "
        "run: python -m pip install diffq"
    )

import hashlib
import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from demucs.htdemucs import HTDemucs
from torch import nn

Package = dict[str, Any]


@pytest.fixture
def tiny_model() -> nn.Module:
    """An HTDemucs of 18,080 parameters: two stems, 8 kHz, segments of 1600 samples."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        module: nn.Module = HTDemucs(
            ["speech", "noise"],
            channels=8,
            nfft=512,
            depth=2,
            t_layers=1,
            t_heads=2,
            t_hidden_scale=1.0,
            bottom_channels=8,
            segment=Fraction(1, 5),
            samplerate=8000,
        )
    return module.eval()


@pytest.fixture
def package(tiny_model: Any) -> Package:
    """The tiny model as ``demucs.states.serialize_model(half=True)`` lays it out."""
    args, kwargs = tiny_model._init_args_kwargs
    state = {name: tensor.to(torch.half) for name, tensor in tiny_model.state_dict().items()}
    return {"klass": HTDemucs, "args": args, "kwargs": kwargs, "state": state, "training_args": {}}


@pytest.fixture
def write_checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Write an object as ``demucs.states.save_with_checksum`` does: ``SIGNATURE-CHECKSUM.th``."""

    def write(content: object, signature: str = "deadbeef", checksum: str | None = None) -> Path:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        checksum = checksum or hashlib.sha256(buffer.getvalue()).hexdigest()[:8]
        path = tmp_path / f"{signature}-{checksum}.th"
        path.write_bytes(buffer.getvalue())
        return path

    return write

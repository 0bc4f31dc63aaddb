"""A checkpoint of an HTDemucs that compiles in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from onnx_demucs_rules.examples import small_htdemucs

if TYPE_CHECKING:
    from pathlib import Path


def write_small_checkpoint(path: Path) -> Path:
    """Write it as ``demucs.states.serialize_model`` lays checkpoints out."""
    torch.manual_seed(0)
    model = small_htdemucs(depth=1, t_layers=0)
    args, kwargs = model._init_args_kwargs
    package = {"klass": type(model), "args": args, "kwargs": kwargs, "state": model.state_dict()}
    torch.save(package | {"training_args": {}}, path)
    return path

"""Weights of a network, from a file that may hold nothing else."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.loading.families.networks.package import networks_package
from onnx_demucs_compiler.loading.wrapped_names import unwrap_names

if TYPE_CHECKING:
    from pathlib import Path

    from onnx_demucs_compiler.loading.families.networks.network import Network


def load_weights(network: Network, path: Path, config: Path) -> str:
    """Fill a network; returns the file's SHA-256 (hex).

    Raises:
        CompilerError: the file is missing or damaged, holds other things than numbers, or the weights of
            another network.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CompilerError(f"{path} cannot be read: {error.strerror}") from error
    wanted, state = network.network.state_dict(), _weights(path)
    unwrap_names(state, wanted)
    _check(wanted, state, path, config)
    network.network.load_state_dict(state)
    return digest


def _state(path: Path) -> object:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise CompilerError(f"{path} is damaged, or no safetensors file") from error
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CompilerError(
            f"{path} is damaged, or holds more than weights: save its state dict alone, where you trust it"
        ) from error
    except (RuntimeError, EOFError, ValueError) as error:
        raise CompilerError(f"{path} is damaged, or no checkpoint of PyTorch") from error
    return networks_package().unwrap_state_dict(loaded)


def _weights(path: Path) -> dict[str, Tensor]:
    state = _state(path)
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CompilerError(f"{path} holds no state dict")
    floats = ((name, value) for name, value in state.items() if value.is_floating_point())
    if broken := [name for name, value in floats if not value.isfinite().all()]:
        raise CompilerError(f"{path} has weights that are not finite: {_some(broken)}")
    return dict(state)


def _check(wanted: Mapping[str, Any], given: Mapping[str, Any], path: Path, config: Path) -> None:
    shared = wanted.keys() & given.keys()
    shaped = [
        f"{name} {list(given[name].shape)} for {list(wanted[name].shape)}"
        for name in wanted
        if name in shared and given[name].shape != wanted[name].shape
    ]
    differences = {
        "lacks": [name for name in wanted if name not in shared],
        "has beside it": [name for name in given if name not in shared],
        "has in another shape": shaped,
    }
    told = [f"it {how} {_some(names)}" for how, names in differences.items() if names]
    if told:
        raise CompilerError(f"{path} is not of {config}: {'; '.join(told)}")


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"

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

if TYPE_CHECKING:
    from pathlib import Path

    from onnx_demucs_compiler.loading.families.networks.network import Network

WRAPPERS = ("model.", "module.", "_orig_mod.")
"""What trainers put before the name of every weight."""


def load_weights(network: Network, path: Path, config: Path) -> str:
    """Fill a network; returns the file's SHA-256 (hex).

    Raises:
        CompilerError: the file is missing or damaged, holds other things than numbers, or the weights of
            another network.
    """
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CompilerError(f"{path} cannot be read: {error.strerror}") from error
    state = _unwrapped(_state(path), path)
    _check(network.network.state_dict(), state, path, config)
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


def _unwrapped(state: object, path: Path) -> dict[str, Tensor]:
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CompilerError(f"{path} holds no state dict")
    names = dict(state)
    while wrapper := next(
        (each for each in WRAPPERS if names and all(n.startswith(each) for n in names)), ""
    ):
        names = {name.removeprefix(wrapper): value for name, value in names.items()}
    broken = [
        name for name, value in names.items() if value.is_floating_point() and not value.isfinite().all()
    ]
    if broken:
        raise CompilerError(f"{path} has weights that are not finite: {_some(broken)}")
    return names


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

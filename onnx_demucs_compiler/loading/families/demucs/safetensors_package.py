"""A demucs checkpoint in safetensors, whose metadata names the classes to make."""

import json
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

from onnx_demucs_compiler.loading.families.demucs.other_kinds import weights_alone
from onnx_demucs_compiler.loading.families.demucs.unpickling import Named

_LENGTH_OF_HEADER = 8


def is_safetensors(path: Path) -> bool:
    """True if a file begins as safetensors do: length, then JSON header."""
    with path.open("rb") as file:
        start = file.read(_LENGTH_OF_HEADER + 1)
    length = int.from_bytes(start[:_LENGTH_OF_HEADER], "little")
    return start[_LENGTH_OF_HEADER:] == b"{" and length <= path.stat().st_size


def read_safetensors(path: Path) -> tuple[dict[str, Any], set[str]]:
    """The package ``{klass, args, kwargs, state}``, and every class that it names.

    Nothing is imported: ``Named`` stands for each class.

    Raises:
        CompilerError: If the file holds weights alone.
        Exception: Of any other kind, if it is damaged.
    """
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        state: Any = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    if "klass" not in metadata:
        loaded = f"safetensors.torch.load_file({str(path)!r})"
        raise weights_alone(path, state, loaded, imports="torch, safetensors.torch")
    names = {metadata["klass"]}
    if "structure" in metadata:
        state = json.loads(metadata["structure"], object_hook=partial(_part, state, names))
    return {
        "klass": Named(metadata["klass"]),
        "args": json.loads(metadata["args"], object_hook=_argument),
        "kwargs": json.loads(metadata["kwargs"], object_hook=_argument),
        "state": state,
    }, names


def _argument(node: dict[str, Any]) -> Any:
    if node.get("_type") != "fraction":
        return node
    if {type(node["numerator"]), type(node["denominator"])} != {int}:
        raise ValueError("a fraction of something else than whole numbers")
    return Fraction(node["numerator"], node["denominator"])


def _part(tensors: dict[str, Tensor], names: set[str], node: dict[str, Any]) -> Any:
    """A part of a quantised state, whose own parts are made already."""
    [(kind, value)] = node.items()
    match kind:
        case "_tensor":
            return tensors[value]
        case "_dict":
            return dict(value)
        case "_list":
            return value
        case "_tuple":
            return tuple(value)
        case "_class":
            names.add(value)
            return Named(value)
    raise ValueError(f"{kind} is no part of a state")

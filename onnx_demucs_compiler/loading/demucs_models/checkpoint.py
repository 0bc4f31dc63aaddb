"""One demucs checkpoint: a pickled ``{klass, args, kwargs, state}``, checked before it is used."""

import hashlib
import re
from pathlib import Path
from typing import Any

import torch
from demucs import states
from torch import nn

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.loading.demucs_models.failures import fatal_as_error, one_line, without_diffq
from onnx_demucs_compiler.loading.source_model import SourceModel, from_module

_CHECKSUM = re.compile(r".+-([0-9a-f]{8})")
_KEYS = ("klass", "args", "kwargs", "state")


def load_checkpoint(path: Path, name: str) -> SourceModel:
    """Load a ``.th`` file as demucs does.

    A file named ``SIGNATURE-CHECKSUM.th`` must hash to that checksum. Unpickling runs code of the
    file's choosing, so the file must be trusted.

    Args:
        path: The checkpoint.
        name: The model as the user named it.

    Raises:
        CompilerError: If the file is missing, a directory, does not match its checksum, is damaged, is not
            a demucs checkpoint, or its state does not fit its class.
    """
    digest = _sha256(path)
    _check_against_name(path, digest)
    module = _build(path, _read(path))
    return from_module(module, name, provenance=f"checkpoint {path.name}, sha256 {digest[:8]}")


def _sha256(path: Path) -> str:
    if path.is_dir():
        raise CompilerError(
            f"{path} is a directory; name a .th file in it, or a model in it with --repo {path}"
        )
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise CompilerError(f"there is no checkpoint {path}; check the path") from error
    except OSError as error:
        raise CompilerError(f"cannot read the checkpoint {path}: {error.strerror}") from error


def _check_against_name(path: Path, digest: str) -> None:
    match = _CHECKSUM.fullmatch(path.stem)
    if match is not None and not digest.startswith(match[1]):
        raise CompilerError(
            f"the checkpoint {path} does not match the checksum in its name: expected {match[1]}, "
            f"its content gives {digest[:8]}; download it again"
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        package = torch.load(path, map_location="cpu", weights_only=False)
    except (ImportError, AttributeError) as error:
        if (error.name or "").startswith("diffq"):  # a quantised state names diffq's own classes
            raise without_diffq(f"the checkpoint {path}") from error
        raise CompilerError(
            f"the checkpoint {path} needs code that is not installed: {one_line(error)}; "
            "install the package that defines it"
        ) from error
    except Exception as error:  # a damaged pickle can raise anything
        raise CompilerError(
            f"cannot read the checkpoint {path}: it is damaged or not a PyTorch file ({one_line(error)}); "
            "download or copy it again"
        ) from error
    if not isinstance(package, dict) or any(key not in package for key in _KEYS):
        raise CompilerError(
            f"{path} is not a demucs checkpoint, which holds {', '.join(_KEYS)}; "
            "save the model with demucs.states.serialize_model"
        )
    return package


def _build(path: Path, package: dict[str, Any]) -> nn.Module:
    with fatal_as_error(f"the checkpoint {path}"):
        try:
            module: nn.Module = states.load_model(package)
        except Exception as error:  # a class can raise anything for arguments or a state not its own
            raise CompilerError(
                f"the checkpoint {path} does not fit its class {package['klass']}: {one_line(error)}; "
                "use the version of demucs that wrote it"
            ) from error
    return module

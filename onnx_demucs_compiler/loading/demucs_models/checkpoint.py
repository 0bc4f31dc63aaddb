"""One demucs checkpoint: ``{klass, args, kwargs, state}``, pickled or in safetensors, checked before use."""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from demucs import states
from demucs.hf import load_safetensors_model
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.loading.demucs_models.failures import fatal_as_error, one_line, without_diffq
from onnx_demucs_compiler.loading.demucs_models.safetensors_names import class_in, names_in_safetensors
from onnx_demucs_compiler.loading.demucs_models.unpickling import (
    MODELS,
    QUANTIZERS,
    ForbiddenNamesError,
    forbidden_names,
    read_pickle,
    read_trusted_pickle,
    resolve_class,
)
from onnx_demucs_compiler.loading.source_model import SourceModel, from_module

SAFETENSORS = ".safetensors"
SUFFIXES = (".th", SAFETENSORS)

_CHECKSUM = re.compile(r".+-([0-9a-f]{8})")
_KEYS = ("klass", "args", "kwargs", "state")
_PARAMETERS_PER_BYTE = 8  # of the file: a quantised state may spend less than two bits on each
_PARAMETER_TENSORS = 20_000


def load_checkpoint(path: Path, name: str, *, trust: bool = False) -> SourceModel:
    """Load a ``.th`` file as demucs does, without running code that it names, or a ``.safetensors`` file.

    A file named ``SIGNATURE-CHECKSUM.th`` must hash to that checksum.

    Args:
        path: The checkpoint.
        name: The model as the user named it.
        trust: Let the file run code of its maker's choosing, as demucs does.

    Raises:
        ForbiddenNamesError: If the file names other code than demucs' models, and is not trusted.
        CompilerError: If the file is missing, a directory, does not match its checksum, is damaged, is not
            a demucs checkpoint, or its state does not fit its class.
    """
    digest = _sha256(path)
    _check_against_name(path, digest)
    with _as_errors(path, trust):
        klass, build = (_safetensors if path.suffix == SAFETENSORS else _pickle)(path, trust)
    with nullcontext() if trust else _not_larger_than(path):
        module = _built(path, klass, build)
    source = from_module(module, name, provenance=f"checkpoint {path.name}, sha256 {digest[:8]}")
    return replace(source, checkpoints=((path.name, digest),))


def _sha256(path: Path) -> str:
    if path.is_dir():
        raise CompilerError(
            f"{path} is a directory; name a .th file in it, or a model in it with --repo {path}"
        )
    if path.exists() and not path.is_file():
        raise CompilerError(f"{path} is not a regular file; name a .th file")
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


def _safetensors(path: Path, trust: bool) -> tuple[Any, Callable[[], nn.Module]]:
    if not trust:
        _refuse(path, names_in_safetensors(path) - set(MODELS) - set(QUANTIZERS))
    return class_in(path), partial(load_safetensors_model, path)


def _pickle(path: Path, trust: bool) -> tuple[Any, Callable[[], nn.Module]]:
    if not trust:
        _refuse(path, forbidden_names(path))
    package = read_trusted_pickle(path) if trust else read_pickle(path)
    if not isinstance(package, dict) or any(key not in package for key in _KEYS):
        raise CompilerError(
            f"{path} is not a demucs checkpoint, which holds {', '.join(_KEYS)}; "
            "save the model with demucs.states.serialize_model"
        )
    if not trust:
        package = _with_classes(package)
    return package["klass"], partial(states.load_model, package)


def _refuse(path: Path, names: set[str]) -> None:
    if names:
        raise ForbiddenNamesError(path, names)


def _with_classes(package: dict[str, Any]) -> dict[str, Any]:
    """The package with classes in place of their names, where demucs' checkpoints have classes."""
    package = {**package, "klass": resolve_class(package["klass"], MODELS)}
    state = package["state"]
    meta = state.get("meta") if isinstance(state, dict) else None
    if isinstance(meta, dict):
        klass = resolve_class(meta["klass"], QUANTIZERS)
        package["state"] = {**state, "meta": {**meta, "klass": klass}}
    return package


@contextmanager
def _as_errors(path: Path, trust: bool) -> Iterator[None]:
    try:
        yield
    except CompilerError:
        raise
    except (ImportError, AttributeError) as error:
        if (error.name or "").startswith("diffq"):  # a quantised state names diffq's own classes
            raise without_diffq(f"the checkpoint {path}") from error
        raise CompilerError(
            f"the checkpoint {path} needs code that is not installed: {one_line(error)}; "
            "install the package that defines it"
        ) from error
    except Exception as error:  # a damaged file can raise anything
        if isinstance(error, UnpicklingError) and not trust:
            raise CompilerError(
                f"cannot read the checkpoint {path} without running what it holds ({_reason(error)}): it is "
                "damaged, or of PyTorch before 1.6, or in another protocol of pickle than 2; "
                "if you trust its maker, give --trust-checkpoint"
            ) from error
        raise CompilerError(
            f"cannot read the checkpoint {path}: it is damaged or not a PyTorch file ({one_line(error)}); "
            "download or copy it again"
        ) from error


def _reason(error: UnpicklingError) -> str:
    """PyTorch's own reason, which stands amid its advice."""
    reason = str(error).rpartition("WeightsUnpickler error:")[2].strip()
    return reason.splitlines()[0] if reason else one_line(error)


@contextmanager
def _not_larger_than(path: Path) -> Iterator[None]:
    """See to it that a file cannot ask for a model that it has not the weights of."""
    left = {"elements": _PARAMETERS_PER_BYTE * path.stat().st_size, "tensors": _PARAMETER_TENSORS}

    def count(_module: nn.Module, _name: str, parameter: nn.Parameter | None) -> None:
        left["elements"] -= 0 if parameter is None else parameter.numel()
        left["tensors"] -= 1
        if min(left.values()) < 0:
            raise CompilerError(
                f"the checkpoint {path} describes a far larger model than it holds weights for; "
                "download or copy it again"
            )

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def _built(path: Path, klass: Any, build: Callable[[], nn.Module]) -> nn.Module:
    with fatal_as_error(f"the checkpoint {path}"):
        try:
            return build()
        except CompilerError:
            raise
        except Exception as error:  # a class can raise anything for arguments or a state not its own
            if isinstance(error, ImportError) and (error.name or "").startswith("diffq"):
                raise without_diffq(f"the checkpoint {path}") from error
            raise CompilerError(
                f"the checkpoint {path} does not fit its class {klass}: {one_line(error)}; "
                "use the version of demucs that wrote it"
            ) from error

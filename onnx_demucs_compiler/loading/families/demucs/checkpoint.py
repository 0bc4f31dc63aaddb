"""One demucs checkpoint, checked before use: ``{klass, args, kwargs, state}``.

It is pickled or in safetensors.
"""

import hashlib
import inspect
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import datetime
from numbers import Integral, Real
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from demucs import states
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.loading.families.demucs.failures import check_diffq, one_line, without_diffq
from onnx_demucs_compiler.loading.families.demucs.other_kinds import (
    KEYS,
    looks_like,
    not_a_checkpoint,
    refuse_other_kinds,
)
from onnx_demucs_compiler.loading.families.demucs.safetensors_package import is_safetensors, read_safetensors
from onnx_demucs_compiler.loading.families.demucs.unpickling import (
    MODELS,
    QUANTIZERS,
    ForbiddenNamesError,
    forbidden_names,
    read_pickle,
    read_trusted_pickle,
    resolve_class,
)
from onnx_demucs_compiler.loading.source_model import SourceModel, from_module
from onnx_demucs_compiler.loading.wrapped_names import unwrap_names

SAFETENSORS = ".safetensors"
SUFFIXES = (".th", SAFETENSORS)

_CHECKSUM = re.compile(r".+-([0-9a-f]{8})")
_PARAMETERS_PER_BYTE = 8  # of the file: a quantised state may spend less than two bits on each
_PARAMETER_TENSORS = 20_000
_FACTS: Mapping[str, tuple[Any, Callable[[Any], bool]]] = {
    "sources": ((list, tuple), lambda names: all(isinstance(name, str) and name for name in names)),
    "samplerate": (Real, lambda hertz: 1 <= hertz <= 10**6 and int(hertz) == hertz),
    "audio_channels": (Integral, lambda channels: channels >= 1),
    "segment": (Real, lambda seconds: 0 < seconds <= 10**5),
}
"""What a module says of itself: the type, and what holds of the value."""


def load_checkpoint(path: Path, name: str, *, trust: bool = False) -> SourceModel:
    """Load a ``.th`` file without running its code, or a ``.safetensors`` file.

    A file named ``SIGNATURE-CHECKSUM.th`` must hash to that checksum, unless it reads as a date. Prefixes
    that wrappers left on the name of every weight are dropped, as are arguments that the class does not take,
    which the warnings say.

    Args:
        path: The checkpoint.
        name: The model as the user named it.
        trust: Let the file run code of its maker's choosing, as demucs does.

    Raises:
        ForbiddenNamesError: If the file names other code than demucs' models, and is not trusted.
        CompilerError: If the file is missing, a directory, does not match its checksum, is damaged, is not
            a demucs checkpoint, its state does not fit its class, or what it says of itself or its weights
            cannot be.
    """
    digest = _sha256(path)
    _check_against_name(path, digest)
    with _as_errors(path, trust):
        package = _package(path, trust)
    with nullcontext() if trust else _not_larger_than(path):
        module, told = _built(path, package)
    _check_facts(path, module)
    _check_finite(path, module)
    source = from_module(module, name, provenance=f"checkpoint {path.name}, sha256 {digest[:8]}")
    return replace(source, checkpoints=((path.name, digest),), warnings=told)


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
    if match is not None and not _is_date(match[1]) and not digest.startswith(match[1]):
        raise CompilerError(
            f"the checkpoint {path} does not match the checksum in its name: expected {match[1]}, "
            f"its content gives {digest[:8]}; download it again"
        )


def _is_date(digits: str) -> bool:
    """True if eight digits are a recent date, as in ``vocals-20240501.th``."""
    try:
        return datetime.strptime(digits, "%Y%m%d").year // 100 == 20
    except ValueError:
        return False


def _package(path: Path, trust: bool) -> Any:
    """The file's content: a dict of :data:`KEYS`, or if trusted a module."""
    if path.suffix == SAFETENSORS or is_safetensors(path):
        package, names = read_safetensors(path)
        if not trust:
            _refuse(path, names - set(MODELS) - set(QUANTIZERS))
        return _with_classes(package, trust)
    refuse_other_kinds(path, trust=trust)
    if not trust:
        _refuse(path, forbidden_names(path))
    package = read_trusted_pickle(path) if trust else read_pickle(path)
    if isinstance(package, nn.Module):
        return package.module if isinstance(package, nn.DataParallel) else package
    if isinstance(package, tuple) and len(package) == len(KEYS):
        package = dict(zip(KEYS, package, strict=True))
    if not isinstance(package, dict) or any(key not in package for key in KEYS):
        raise not_a_checkpoint(path, KEYS)
    return _with_classes(package, trust)


def _refuse(path: Path, names: set[str]) -> None:
    if names:
        raise ForbiddenNamesError(path, names)


def _with_classes(package: dict[str, Any], trust: bool) -> dict[str, Any]:
    """The package with demucs' classes in place of their names."""
    package = {**package, "klass": resolve_class(package["klass"], MODELS, trust=trust)}
    state = package["state"]
    meta = state.get("meta") if isinstance(state, dict) else None
    if isinstance(meta, dict):
        klass = resolve_class(meta["klass"], QUANTIZERS, trust=trust)
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
            f"cannot read the checkpoint {path}: it is damaged or not a PyTorch file "
            f"({looks_like(path) or one_line(error)}); "
            "download or copy it again"
        ) from error


def _reason(error: UnpicklingError) -> str:
    """PyTorch's own reason, which stands amid its advice."""
    reason = str(error).rpartition("WeightsUnpickler error:")[2].strip()
    return reason.splitlines()[0] if reason else one_line(error)


@contextmanager
def _not_larger_than(path: Path) -> Iterator[None]:
    """Fail if a file asks for a model larger than its weights."""
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


def _built(path: Path, package: Any) -> tuple[nn.Module, tuple[str, ...]]:
    """The module, and a line for each thing that was dropped."""
    if isinstance(package, nn.Module):
        return package, ()
    try:
        if isinstance(package["state"], dict) and package["state"].get("__quantized"):
            check_diffq(f"the checkpoint {path}")
        return _loaded(path, package)
    except CompilerError:
        raise
    except Exception as error:  # a class can raise anything for arguments or a state not its own
        raise CompilerError(
            f"the checkpoint {path} does not fit its class {package['klass']}: {one_line(error)}; "
            "use the version of demucs that wrote it"
        ) from error


def _loaded(path: Path, package: dict[str, Any]) -> tuple[nn.Module, tuple[str, ...]]:
    """The module as demucs loads it, after unwrapping the names of weights."""
    klass, dropped = package["klass"], [""]
    hooks = []

    def made(*args: Any, **kwargs: Any) -> nn.Module:
        module: nn.Module = klass(*args, **kwargs)
        names = list(module.state_dict())

        def unwrap(_module: nn.Module, state: dict[str, Any], *_: Any) -> None:
            dropped.append(unwrap_names(state, names))

        hooks.append(module.register_load_state_dict_pre_hook(unwrap))
        return module

    made.__signature__ = signature = inspect.signature(klass)  # type: ignore[attr-defined]
    told = [f"dropped {name!r}, which {klass.__name__} does not take, from the arguments in {path}"
            for name in package["kwargs"] if name not in signature.parameters]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # demucs' own words on the same
        module = states.load_model({**package, "klass": made})
    for hook in hooks:
        hook.remove()
    if dropped[-1]:
        told.append(f"dropped {dropped[-1]!r} from the name of every weight in {path}")
    return module, tuple(told)


def _check_facts(path: Path, module: nn.Module) -> None:
    """Fail if the module states impossible facts; it may state none."""
    for name, (kind, holds) in _FACTS.items():
        value = getattr(module, name, None)
        if value is not None and not (isinstance(value, kind) and holds(value)):
            raise CompilerError(
                f"the checkpoint {path} has {name}={textwrap.shorten(repr(value), 60, placeholder=' ...')}, "
                "which no model has; download it again, or correct it"
            )


def _check_finite(path: Path, module: nn.Module) -> None:
    weights = ((name, weight) for name, weight in module.named_parameters() if not weight.is_meta)
    broken = [name for name, weight in weights if not weight.isfinite().all()]
    if broken:
        raise CompilerError(
            f"the checkpoint {path} has weights that are NaN or infinite ({len(broken)} tensors, {broken[0]} "
            "first); give one from before its training diverged"
        )

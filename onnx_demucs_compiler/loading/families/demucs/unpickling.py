"""Reading a checkpoint's pickle without running what it names.

``torch.load(weights_only=True)`` lets a pickle call what is on an allow-list, so what is put there for
demucs' checkpoints is inert: a class becomes its name, and values are made by functions that look at what
they are given.
"""

import re
import sys
import textwrap
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pickletools import genops
from typing import IO, Any

import numpy as np
import torch

from onnx_demucs_compiler.errors import CompilerError

MODELS = (
    "demucs.demucs.Demucs",
    "demucs.hdemucs.HDemucs",
    "demucs.htdemucs.HTDemucs",
    "demucs.wdemucs.WDemucs",
)
QUANTIZERS = ("diffq.diffq.DiffQuantizer", "diffq.uniform.UniformQuantizer")

_OF_TENSORS = frozenset(
    {
        "collections.OrderedDict",
        "_codecs.encode",
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
        "torch.Size",
        "torch.BFloat16Storage",
        "torch.BoolStorage",
        "torch.ByteStorage",
        "torch.CharStorage",
        "torch.DoubleStorage",
        "torch.FloatStorage",
        "torch.HalfStorage",
        "torch.IntStorage",
        "torch.LongStorage",
        "torch.ShortStorage",
    }
)
_ZIP = b"PK\x03\x04"
_PICKLES_IN_AN_OLD_FILE = 5  # magic number, protocol, machine, the object, keys of its storages
_NUMBER = re.compile(r"[fiub][1248]")
_RATIO = re.compile(r"-?[0-9]{1,18}(/[0-9]{1,18})?")


@dataclass(frozen=True)
class Named:
    """A class's name, which stands for it and cannot be called.

    Attributes:
        path: Module and name, with dots.
    """

    path: str

    def resolve(self) -> Any:
        """The class itself.

        Raises:
            ImportError: If its package is not installed.
        """
        module, _, name = self.path.rpartition(".")
        return getattr(import_module(module), name)


class _NumberType:
    """The target to which ``numpy.dtype`` pickles."""

    def __init__(self, code: str, *_: object) -> None:
        if not _NUMBER.fullmatch(code):
            raise ValueError(f"{code} is no type of number")
        self.code = code

    def __setstate__(self, state: tuple[object, ...]) -> None:
        self.code = f"{'>' if state[1] == '>' else '<'}{self.code}"


def _scalar(kind: _NumberType, data: bytes) -> Any:
    return np.frombuffer(data, dtype=kind.code)[0].item()


def _fraction(*parts: Any) -> Fraction:
    """A bounded Fraction.

    The real one would raise ten to any power that a text asks for.
    """
    if len(parts) == 1 and isinstance(parts[0], str) and _RATIO.fullmatch(parts[0]):
        return Fraction(parts[0])
    if len(parts) == 2 and all(type(part) is int for part in parts):
        return Fraction(*parts)
    raise ValueError("a Fraction of something else than whole numbers")


_STAND_INS: Mapping[str, Any] = {
    **{name: Named(name) for name in (*MODELS, *QUANTIZERS)},
    "fractions.Fraction": _fraction,
    "numpy.dtype": _NumberType,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
}

ALLOWED: frozenset[str] = _OF_TENSORS | frozenset(_STAND_INS)
"""All that a checkpoint of demucs names."""


class ForbiddenNamesError(CompilerError):
    """A checkpoint names code that demucs' own do not."""

    def __init__(self, path: Path, names: set[str]) -> None:
        listed = textwrap.shorten(ascii(", ".join(sorted(names)))[1:-1], width=400, placeholder=" ...")
        super().__init__(
            f"the checkpoint {path} asks for {listed}, which demucs' own do not need and which would run "
            f"code of its maker's choosing; {advice_on_trust(names)}"
        )


def advice_on_trust(names: set[str]) -> str:
    """The advice for a file with code that is not demucs' own.

    It is to trust the file, if that can help.

    Args:
        names: Every class and function that it names beside demucs' own. Nothing of them is imported.
    """
    packages = {name.partition(".")[0] for name in names if "." in name}
    if "__main__" in packages:
        return "__main__ is the script that wrote it; save it again with its classes in a module of their own"
    lacking = sorted(ascii(package)[1:-1] for package in packages if not _is_there(package))
    install = f"install {' and '.join(lacking)} and " if lacking else ""
    return f"if you trust its maker, {install}give --trust-checkpoint"


def _is_there(module: str) -> bool:
    """True if Python finds a module that is in no package."""
    module = IMPORT_MAPPING.get(module, module)  # of Python 2, as pickles of protocol 2 call them
    return module in sys.modules or find_spec(module) is not None


def read_pickle(path: Path) -> Any:
    """The content of a ``.th`` file, with :class:`Named` for its classes.

    Only for a file whose names are all :data:`ALLOWED`: of others PyTorch's own list allows more.

    Raises:
        Exception: Of any kind, if the file is damaged or names anything else.
    """
    stand_ins: list[Any] = [(stand_in, name) for name, stand_in in _STAND_INS.items()]
    with torch.serialization.safe_globals(stand_ins), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=True)


def read_trusted_pickle(path: Path) -> Any:
    """The content of a ``.th`` file, which may run any code.

    Raises:
        Exception: Of any kind.
    """
    return torch.load(path, map_location="cpu", weights_only=False)


def resolve_class(named: Any, allowed: tuple[str, ...], *, trust: bool) -> Any:
    """The class that a name stands for; any class if trusted.

    Raises:
        ValueError: If it is not trusted, and no name or none of those allowed.
    """
    if not trust and not (isinstance(named, Named) and named.path in allowed):
        raise ValueError(f"{named} is none of {', '.join(allowed)}")
    return named.resolve() if isinstance(named, Named) else named


def forbidden_names(path: Path) -> set[str]:
    """The names in a ``.th`` file's pickles beyond :data:`ALLOWED`; nothing is loaded.

    Raises:
        Exception: Of any kind, if the file is damaged and names nothing of the kind up to there.
    """
    forbidden = set()
    try:
        for name in names_in(path):
            if name not in ALLOWED:
                forbidden.add(name)
    except Exception:
        if not forbidden:
            raise
    return forbidden


def names_in(path: Path) -> Iterator[str]:
    """Every class and function that a ``.th`` file's pickles name, in order."""
    for pickled in pickles_in(path):
        yield from _names(pickled)


def pickles_in(path: Path) -> Iterator[IO[bytes]]:
    """A ``.th`` file's pickles; read each to its end before the next.

    Raises:
        ValueError: If the file is an archive that unpacks to more than its size.
        zipfile.BadZipFile: If it is a damaged one.
    """
    with path.open("rb") as file:
        if file.read(len(_ZIP)) != _ZIP:
            file.seek(0)
            for _ in range(_PICKLES_IN_AN_OLD_FILE):
                yield file
            return
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > path.stat().st_size:
            raise ValueError("it unpacks to more than its size, which PyTorch's files do not")
        for member in members:
            if member.filename.endswith(".pkl"):
                with archive.open(member) as pickled:
                    yield pickled


def _names(pickled: IO[bytes]) -> Iterator[str]:
    texts: deque[str] = deque(maxlen=2)  # what STACK_GLOBAL takes
    memo: dict[Any, str] = {}
    for opcode, argument, _ in genops(pickled):
        if opcode.name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".", 1)
        elif opcode.name == "STACK_GLOBAL":
            if len(texts) < 2:
                raise ValueError("a name without its parts")
            yield ".".join(texts)
        elif opcode.name.startswith("EXT"):
            yield f"copyreg extension {argument}"
        elif opcode.name in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"):
            memo[len(memo) if argument is None else argument] = texts[-1] if texts else ""
        elif opcode.name in ("GET", "BINGET", "LONG_BINGET"):
            texts.append(memo.get(argument, ""))
        elif isinstance(argument, str):
            texts.append(argument)

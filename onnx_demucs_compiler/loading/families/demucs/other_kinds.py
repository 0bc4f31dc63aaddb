"""Files given as models that are no checkpoints.

They are told apart without loading, and refused by kind.
"""

import textwrap
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.loading.families.demucs.pickle_outline import Made, outline_of
from onnx_demucs_compiler.loading.families.demucs.unpickling import Named, advice_on_trust, forbidden_names

KEYS = ("klass", "args", "kwargs", "state")
"""What a package of demucs holds: a dict of these and others, in demucs 1 a tuple of them."""

_BEST = "best.th"
_OF_DEMUCS_2 = ("demucs.model.", "demucs.tasnet.")
_SOURCE = "give the checkpoint that it was made from"
_TEXT = frozenset(range(0x20, 0x7F)) | frozenset(b"\t\n\r")
_SIGNS: Mapping[bytes, str] = {
    b"version https://git-lfs": "a Git LFS pointer, whose file is still to be pulled",
    b"<": "a web page",
    b"\x93NUMPY": "an array of NumPy",
    b"\x89HDF": "HDF5",
    b"\x1f\x8b": "packed with gzip",
    b"RIFF": "audio",
    b"ID3": "audio",
    b"fLaC": "audio",
    b"OggS": "audio",
}
_CLASSES: Mapping[str, str] = {
    "crosstransformer.": "demucs.htdemucs.HTDemucs",
    "tencoder.": "demucs.hdemucs.HDemucs",
    "freq_emb.": "demucs.hdemucs.HDemucs",
    "encoder.0.0.weight": "demucs.demucs.Demucs",
}


def refuse_other_kinds(path: Path, *, trust: bool) -> None:
    """Refuse other files of trainings and exporters, naming what to give instead.

    Nothing that the file names is imported or run. A damaged file passes: who reads it says what is wrong.

    Args:
        path: What was given as a checkpoint.
        trust: Let a whole module pass, which can only be read by running code.

    Raises:
        CompilerError: If the file is of another kind. Where it holds weights of demucs' models, a note has
            two lines of Python that make a checkpoint of them.
    """
    if path.suffix in (".onnx", ".ort"):
        raise _but(path, f"a compiled model; {_SOURCE}")
    members = _members(path)
    if members and (_is_torchscript(members) or not any(_is_data(name) for name in members)):
        raise _but(path, _archive(members))
    outline = _outline(path)
    if isinstance(outline, Made) and outline.is_module and not trust:
        what = "a whole module (torch.save(model)), which runs code of its maker's choosing when it is read"
        raise _but(path, f"{what}; {advice_on_trust(forbidden_names(path))}")
    if isinstance(outline, tuple):
        outline = dict(zip(KEYS, outline, strict=False))
    if not isinstance(outline, Made | Named) and not _is_package(outline):
        raise _error_for(path, outline)


def weights_alone(
    path: Path, names: Iterable[str], loaded: str, *, place: str = "", imports: str = "torch"
) -> CompilerError:
    """The error for weights without their model's class and arguments.

    Args:
        path: The file.
        names: Those of the weights.
        loaded: The Python expression that reads them.
        place: Where in the file they are, if not at the top.
        imports: What Python imports to read and save them.
    """
    names = list(names)
    what = f"weights (a state dict{place}) without the class and arguments of their model; "
    klass = next((klass for sign, klass in _CLASSES.items() if any(sign in name for name in names)), None)
    if klass is None:
        return _but(
            path,
            f"{what}no model of demucs has such ({_listed(names)}): load them into their module in Python, "
            "and give that to onnx_demucs_compiler.compile",
        )
    module, _, name = klass.rpartition(".")
    error = _but(path, f"{what}make a checkpoint of them, in kwargs what the model was trained with:")
    error.add_note(
        f"  import {imports}; from {module} import {name}\n"
        f'  torch.save({{"klass": {name}, "args": (), '
        '"kwargs": {"sources": ["drums", "bass", "other", "vocals"]}, '
        f'"state": {loaded}}}, "model.th")'
    )
    return error


def not_a_checkpoint(path: Path, lacking: Iterable[str]) -> CompilerError:
    """The error for a file that lacks some of :data:`KEYS`."""
    return CompilerError(
        f"{path} is not a demucs checkpoint, which holds {', '.join(KEYS)}: it has no {', '.join(lacking)}; "
        "save the model's class, its arguments and its state dict under these names"
    )


def looks_like(path: Path) -> str | None:
    """The kind of a file unreadable by PyTorch, by its first bytes."""
    with path.open("rb") as file:
        start = file.read(256)
    if not start:
        return "it is empty"
    for sign, kind in _SIGNS.items():
        if start.lstrip().startswith(sign):
            return f"it looks like {kind}"
    return "it looks like text" if _TEXT.issuperset(start) else None


def _but(path: Path, what: str) -> CompilerError:
    return CompilerError(f"{path} is not a demucs checkpoint but {what}")


def _listed(names: Iterable[str]) -> str:
    return textwrap.shorten(ascii(", ".join(names))[1:-1], width=80, placeholder=" ...")


def _members(path: Path) -> list[str]:
    with suppress(Exception), zipfile.ZipFile(path) as archive:  # a damaged one can raise anything
        return archive.namelist()
    return []


def _outline(path: Path) -> Any:
    with suppress(Exception):  # a damaged pickle too
        return outline_of(path)
    return Made("")


def _is_torchscript(members: list[str]) -> bool:
    return any(name.endswith("constants.pkl") for name in members)


def _is_data(member: str) -> bool:
    return member.rpartition("/")[2] == "data.pkl"


def _archive(members: list[str]) -> str:
    if _is_torchscript(members):
        return f"a TorchScript archive, whose module has no Python class; {_SOURCE}"
    if any(name.endswith("archive_format") for name in members):
        return f"a program of torch.export; {_SOURCE}"
    return f"an archive that torch.save did not write (it holds {_listed(members)}); give a checkpoint"


def _is_package(outline: Any) -> bool:
    if not isinstance(outline, dict) or any(key not in outline for key in KEYS):
        return False
    klass = outline["klass"]
    return isinstance(klass, Made) or (isinstance(klass, Named) and not klass.path.startswith(_OF_DEMUCS_2))


def _error_for(path: Path, outline: Any) -> CompilerError:
    if not isinstance(outline, dict):
        return not_a_checkpoint(path, KEYS)
    if not outline.keys().isdisjoint(("klass", "kwargs")):
        return _error_for_package(path, outline)
    if {"best_state", "optimizer"} <= outline.keys():
        best = path.with_name(_BEST)
        instead = f"{best}" if best.is_file() else f"{_BEST}, which the training writes beside it"
        return _but(path, f"what a training of demucs resumes from; give {instead}")
    loaded = f"torch.load({str(path)!r}, 'cpu'{', weights_only=False' if _names_code(path) else ''})"
    if _is_state(outline):
        return weights_alone(path, outline, loaded)
    for key, value in outline.items():
        if _is_state(value):
            of = " of PyTorch Lightning" if "pytorch-lightning_version" in outline else ""
            return weights_alone(path, value, f"{loaded}[{key!r}]", place=f"{of} under {key!r}")
    if "param_groups" in outline:
        return _but(path, "the state of an optimizer, without weights; give its model's")
    return not_a_checkpoint(path, KEYS)


def _error_for_package(path: Path, outline: dict[str, Any]) -> CompilerError:
    klass = outline.get("klass")
    if isinstance(klass, Named) and klass.path.startswith(_OF_DEMUCS_2):
        name = _listed([klass.path])
        return _but(path, f"one of demucs 1 or 2 ({name}); give a model of demucs 3 or later")
    lacking = [key for key in KEYS if key not in outline]
    return not_a_checkpoint(path, lacking or ["class as klass"])


def _names_code(path: Path) -> bool:
    with suppress(Exception):  # what else is in the file may be damaged
        return bool(forbidden_names(path))
    return True


def _is_state(outline: Any) -> bool:
    return isinstance(outline, dict) and any(
        isinstance(value, Made) and value.is_tensor for value in outline.values()
    )

"""Checkpoints that would run code, or use up the machine: refused in a line, and nothing of it is run."""

import io
import json
import os
import pickle
import struct
import time
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_files import write_safetensors
from demucs import wdemucs
from demucs.hdemucs import HDemucs
from torch import nn

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.loading import load_model
from onnx_demucs_compiler.loading.families.demucs.unpickling import MODELS, Named, read_pickle

Package = dict[str, Any]
Write = Callable[..., Path]


class Call:
    """Pickles as a call, which unpickling makes."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


class Restored:
    """Runs code when its state is restored."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __setstate__(self, state: dict[str, Path]) -> None:
        state["mark"].touch()


class Model(nn.Module):
    """A class of one's own."""

    sources, samplerate, audio_channels, segment = ("left", "right"), 8000, 2, 0.1

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))


HOSTILE: dict[str, Callable[[Path], object]] = {
    "os.system": lambda mark: Call(os.system, f"touch {mark}"),
    "builtins.eval": lambda mark: Call(eval, f"open({str(mark)!r}, 'w').close()"),
    "builtins.getattr": lambda mark: Call(getattr, Call(Path, str(mark)), "touch"),
    "Restored": Restored,
}


def refusal(spec: Path | str, repo: Path | None = None) -> str:
    with pytest.raises(CompilerError) as error:
        load_model(str(spec), repo)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Where hostile code would leave its mark."""
    return tmp_path / "mark"


def hidden(package: Package, where: str, hostile: object) -> object:
    if where == "at the top":
        return hostile
    if where == "in kwargs":
        return {**package, "kwargs": {**package["kwargs"], "cac": [{"deep": (hostile,)}]}}
    return {**package, "training_args": hostile}


@pytest.mark.parametrize("where", ["at the top", "in kwargs", "in training_args"])
@pytest.mark.parametrize("name", HOSTILE)
def test_code_is_not_run(
    name: str, where: str, package: Package, write_checkpoint: Write, mark: Path
) -> None:
    path = write_checkpoint(hidden(package, where, HOSTILE[name](mark)))
    message = refusal(path)
    assert name.rpartition(".")[2] in message
    assert f"the checkpoint {path} asks for " in message
    assert "--trust-checkpoint" in message
    assert not mark.exists()


@pytest.mark.parametrize("name", HOSTILE)
def test_the_reader_itself_runs_no_code(
    name: str, package: Package, write_checkpoint: Write, mark: Path
) -> None:
    """Whatever the list of names before it missed."""
    path = write_checkpoint({**package, "training_args": HOSTILE[name](mark)})
    with pytest.raises(pickle.UnpicklingError):
        read_pickle(path)
    assert not mark.exists()


def test_every_name_is_given(package: Package, write_checkpoint: Write, mark: Path) -> None:
    package["training_args"] = [hostile(mark) for hostile in HOSTILE.values()]
    message = refusal(write_checkpoint(package))
    for name in ("posix.system", "eval", "getattr", "pathlib", "test_trust.Restored"):
        assert name in message


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_in_a_file_of_before_zip(protocol: int, package: Package, tmp_path: Path, mark: Path) -> None:
    path = tmp_path / "old.th"
    package["training_args"] = HOSTILE["os.system"](mark)
    torch.save(package, path, pickle_protocol=protocol, _use_new_zipfile_serialization=False)
    assert "asks for " in refusal(path)
    assert "system" in refusal(path)
    assert not mark.exists()


@pytest.mark.parametrize("protocol", [4, 5])
def test_in_a_newer_protocol(protocol: int, package: Package, tmp_path: Path, mark: Path) -> None:
    path = tmp_path / "new.th"
    torch.save({**package, "training_args": HOSTILE["os.system"](mark)}, path, pickle_protocol=protocol)
    assert "asks for posix.system" in refusal(path) or "asks for nt.system" in refusal(path)
    assert not mark.exists()


def test_in_a_bare_pickle(tmp_path: Path, mark: Path) -> None:
    path = tmp_path / "bare.th"
    path.write_bytes(pickle.dumps(HOSTILE["os.system"](mark)))
    assert "system" in refusal(path)
    assert not mark.exists()


def test_in_a_bag(package: Package, write_checkpoint: Write, mark: Path) -> None:
    write_checkpoint(package, signature="deadbeef")
    package["training_args"] = HOSTILE["os.system"](mark)
    folder = write_checkpoint(package, signature="cafebabe").parent
    (folder / "mine.yaml").write_text("models: ['deadbeef', 'cafebabe']\n")
    assert "cafebabe" in refusal("mine", folder)
    assert not mark.exists()


def test_a_bag_of_yaml_that_makes_objects_is_refused(tmp_path: Path, mark: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"models: !!python/object/apply:os.system ['touch {mark}']\n")
    assert "cannot read the bag" in refusal("mine", tmp_path)
    assert not mark.exists()


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_trusted_runs(name: str, package: Package, write_checkpoint: Write, mark: Path) -> None:
    path = write_checkpoint({**package, "training_args": HOSTILE[name](mark)})
    if name == "builtins.getattr":
        assert load_model(str(path), trust_checkpoint=True).segment == 1600
        return
    load_model(str(path), trust_checkpoint=True)
    assert mark.exists()


def test_a_class_of_ones_own_needs_trust(write_checkpoint: Write) -> None:
    content = {"klass": Model, "args": (), "kwargs": {}, "state": Model().state_dict()}
    path = write_checkpoint(content)
    assert f"asks for {Model.__module__}.Model" in refusal(path)
    assert type(load_model(str(path), trust_checkpoint=True).module) is Model
    assert type(load_model("deadbeef", path.parent, trust_checkpoint=True).module) is Model


@pytest.mark.parametrize("kept", [0, 1000, -1])
def test_what_is_trusted_and_damaged_is_not_told_to_be_trusted(
    kept: int, package: Package, tmp_path: Path
) -> None:
    path = tmp_path / "old.th"
    torch.save(package, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CompilerError, match="damaged or not a PyTorch file") as error:
        load_model(str(path), trust_checkpoint=True)
    assert "--trust-checkpoint" not in str(error.value)


def test_names_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "escape.th"
    path.write_bytes(b"\x80\x02c\x1b[2J\nname\n.")
    assert "asks for \\x1b[2J.name, which" in refusal(path)


def test_pytorchs_list_of_safe_names_is_left_as_it_was(package: Package, write_checkpoint: Write) -> None:
    before = set(torch.serialization.get_safe_globals())
    load_model(str(write_checkpoint(package)))
    assert set(torch.serialization.get_safe_globals()) == before


def test_no_setting_of_the_environment_turns_it_off(
    package: Package, write_checkpoint: Write, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    refusal(write_checkpoint({**package, "training_args": HOSTILE["os.system"](mark)}))
    assert not mark.exists()


@pytest.mark.parametrize("operator", [pickle.REDUCE, pickle.NEWOBJ], ids=["REDUCE", "NEWOBJ"])
@pytest.mark.parametrize("name", [*MODELS, "diffq.diffq.DiffQuantizer", "fractions.Fraction"])
def test_a_pickle_cannot_make_what_it_may_name(name: str, operator: bytes, tmp_path: Path) -> None:
    """A class that demucs' checkpoints name is a name here: no argument reaches its constructor."""
    module, _, klass = name.rpartition(".")
    path = tmp_path / "calls.th"
    argument = b"X" + struct.pack("<I", 4) + b"1e99"
    content = pickle.PROTO + b"\x02c" + f"{module}\n{klass}\n".encode() + argument + pickle.TUPLE1 + operator
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("calls/data.pkl", content + pickle.STOP)
        archive.writestr("calls/byteorder", "little")
        archive.writestr("calls/version", "3\n")
    with pytest.raises((pickle.UnpicklingError, TypeError, ValueError)):
        read_pickle(path)


def test_all_that_released_checkpoints_hold_can_be_read(package: Package, tmp_path: Path) -> None:
    """Besides tensors, those of 2022 hold a Fraction and numpy's numbers."""
    package["kwargs"]["samplerate"] = np.int64(8000)
    package["training_args"] = {"loss": np.float64(1.5), "small": np.float32(0.25), "ratio": Fraction(-1, 3)}
    path = tmp_path / "released.th"
    torch.save(package, path)
    assert read_pickle(path)["training_args"] == {"loss": 1.5, "small": 0.25, "ratio": Fraction(-1, 3)}
    assert read_pickle(path)["klass"] == Named("demucs.htdemucs.HTDemucs")
    model = load_model(str(path))
    assert (model.sample_rate, model.segment) == (8000, 1600)


def test_the_old_name_of_hdemucs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"channels": 8, "depth": 2, "nfft": 256, "samplerate": 8000, "segment": 0.2}
    state = HDemucs(["left", "right"], **options).state_dict()
    with monkeypatch.context() as of_2021:
        old = type("WDemucs", (), {"__module__": "demucs.wdemucs"})
        of_2021.setattr(wdemucs, "WDemucs", old)
        content = {"klass": old, "args": (["left", "right"],), "kwargs": options, "state": state}
        torch.save(content, tmp_path / "old.th")
    assert type(load_model(str(tmp_path / "old.th")).module) is HDemucs


def test_a_file_of_before_zip_is_refused_with_the_way_out(package: Package, tmp_path: Path) -> None:
    """There PyTorch stored the source of modules beside their classes, and reads neither without trust."""
    path = tmp_path / "old.th"
    torch.save(package, path, _use_new_zipfile_serialization=False)
    message = refusal(path)
    assert "without running what it holds (Only persistent_load of storage is allowed" in message
    assert "--trust-checkpoint" in message
    assert load_model(str(path), trust_checkpoint=True).segment == 1600


def test_safetensors_give_the_same_model(package: Package, write_checkpoint: Write, tmp_path: Path) -> None:
    written = write_checkpoint(package)
    path = write_safetensors(tmp_path / "cafebabe.safetensors", package)
    digests = {
        load_model(*spec).weights_digest()
        for spec in ((str(written),), (str(path),), ("cafebabe", tmp_path), ("deadbeef", tmp_path))
    }
    assert len(digests) == 1
    assert load_model(str(path)).provenance.startswith("checkpoint cafebabe.safetensors, sha256 ")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"klass": "os.system", "args": '["touch MARK"]', "kwargs": "{}"}, "asks for os.system"),
        ({"structure": json.dumps({"_dict": [["meta", {"_class": "os.system"}]]})}, "asks for os.system"),
        ({"kwargs": "{"}, "cannot read the checkpoint"),
        ({"kwargs": "[" * 10**6}, "cannot read the checkpoint"),
        ({"args": '{"_type": "fraction", "numerator": "1e99", "denominator": null}'}, "cannot read"),
    ],
)
def test_hostile_safetensors_are_refused(
    metadata: dict[str, str], message: str, package: Package, tmp_path: Path, mark: Path
) -> None:
    metadata = {key: value.replace("MARK", str(mark)) for key, value in metadata.items()}
    path = write_safetensors(tmp_path / "hostile.safetensors", package, **metadata)
    assert message in refusal(path)
    assert not mark.exists()


def _pickle_bytes(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("bomb/data.pkl", pickle.PROTO + b"\x02" + content + pickle.STOP)
        archive.writestr("bomb/byteorder", "little")
        archive.writestr("bomb/version", "3\n")
    return buffer.getvalue()


def _compressed(unpacked: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", pickle.dumps({}, 2))
        archive.writestr("bomb/data/0", bytes(unpacked))
    return buffer.getvalue()


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


BOMBS = {
    "nothing but memo": _pickle_bytes(b"".join(b"K\x01r" + struct.pack("<I", n) for n in range(10**5))),
    "a memo far out": _pickle_bytes(b"K\x01r" + struct.pack("<I", 2**32 - 1)),
    "a memo that is not there": _pickle_bytes(b"h\x05"),
    "tuples in tuples": _pickle_bytes(b")" + pickle.TUPLE1 * 10**5),
    "lists of themselves": _pickle_bytes(b"]q\x00" + b"h\x00a" * 10**5),
    "each twice the last": _pickle_bytes(b")" + b"q\x00h\x00" + b"\x86q\x00h\x00" * 10**4),
    "a text longer than the file": _pickle_bytes(b"X\xff\xff\xff\xff"),
    "no end": _pickle_bytes(b"(" * 10**5),
    "bytes": _pickle_bytes(b"c__builtin__\nbytearray\n\x8a\x06\x00\x00\x00\x00\x00\x10\x85R"),
    "a power of ten": _pickle_bytes(b"cfractions\nFraction\n" + _text("1e999999999") + b"\x85R"),
    "zeros, compressed": _compressed(10**8),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_end_in_an_error(bomb: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.th"
    path.write_bytes(BOMBS[bomb])
    started = time.monotonic()
    assert str(path) in refusal(path)
    assert time.monotonic() - started < 60


@pytest.mark.parametrize(
    "options",
    [
        {"channels": 10**6},
        {"channels": 2**62},
        {"depth": 10**9, "growth": 1},
        {"t_layers": 10**9},
        {"bottom_channels": 10**7},
        {"nfft": 2**40},
        {"sources": ["one"] * 10**5},
    ],
    ids=lambda options: "-".join(options),
)
def test_a_model_too_large_for_its_file_is_not_made(
    options: Package, package: Package, write_checkpoint: Write
) -> None:
    package["kwargs"] = {**package["kwargs"], **options}
    if "sources" in options:
        package["args"] = ()
    path = write_checkpoint(package)
    started = time.monotonic()
    assert str(path) in refusal(path)
    assert time.monotonic() - started < 60

"""What people have on their disks and give as a model: it loads, or one line says what it is."""

import copy
import json
import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from demucs.demucs import Demucs
from demucs.htdemucs import HTDemucs
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

from onnx_demucs_compiler import compile as compile_model
from onnx_demucs_compiler.cli import app
from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.loading import load_model

Write = Callable[[Path], object]

OPTIONS = {
    "sources": ["speech", "noise"],
    "channels": 8,
    "nfft": 256,
    "depth": 2,
    "t_layers": 1,
    "t_heads": 2,
    "t_hidden_scale": 1.0,
    "bottom_channels": 8,
    "segment": Fraction(1, 5),
    "samplerate": 8000,
}
with torch.random.fork_rng(devices=[]):
    torch.manual_seed(3)
    NET = HTDemucs(**OPTIONS).eval()
STATE: dict[str, torch.Tensor] = dict(NET.state_dict())

HOLDS = "PATH is not a demucs checkpoint, which holds klass, args, kwargs, state: it has no "
SAVE = "; save the model's class, its arguments and its state dict under these names"
NOTHING_OF_IT = f"{HOLDS}klass, args, kwargs, state{SAVE}"
BUT = "PATH is not a demucs checkpoint but "
MAKE = (
    " without the class and arguments of their model; make a checkpoint of them, "
    "in kwargs what the model was trained with:"
)
FROM = "; give the checkpoint that it was made from"
MODULE = f"{BUT}a whole module (torch.save(model)), which runs code of its maker's choosing when it is read; "
TRUST = "if you trust its maker, give --trust-checkpoint"
SCRIPT = "__main__ is the script that wrote it; save it again with its classes in a module of their own"
UNFIT = "the checkpoint PATH does not fit its class <class 'demucs.htdemucs.HTDemucs'>: "
VERSION = "; use the version of demucs that wrote it"


def asks_for(name: str) -> str:
    code = "which demucs' own do not need and which would run code of its maker's choosing"
    return f"the checkpoint PATH asks for {name}, {code}; "


def unreadable(reason: str) -> str:
    return (
        "cannot read the checkpoint PATH: it is damaged or not a PyTorch file "
        f"(it {reason}); download or copy it again"
    )


def odd(fact: str) -> str:
    return f"the checkpoint PATH has {fact}, which no model has; download it again, or correct it"


def recipe(loaded: str, klass: str = "demucs.htdemucs.HTDemucs", imports: str = "torch") -> str:
    module, _, name = klass.rpartition(".")
    kwargs = '{"sources": ["drums", "bass", "other", "vocals"]}'
    return (
        f"\n  import {imports}; from {module} import {name}"
        f'\n  torch.save({{"klass": {name}, "args": (), "kwargs": {kwargs}, "state": {loaded}}}, "model.th")'
    )


def package(**parts: Any) -> dict[str, Any]:
    return {"klass": HTDemucs, "args": (), "kwargs": dict(OPTIONS), "state": STATE} | parts


def with_options(**options: Any) -> dict[str, Any]:
    return package(kwargs=OPTIONS | options)


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": weight for name, weight in STATE.items()}


def saved(content: object, **options: Any) -> Write:
    return lambda path: torch.save(content, path, **options)


def holding(content: bytes) -> Write:
    return lambda path: path.write_bytes(content)


def archive_of(*members: str) -> Write:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as file:
            for member in members:
                file.writestr(member, "content")

    return write


@contextmanager
def elsewhere(name: str, base: type = object) -> Iterator[type]:
    """A class of a module that is there while the class is pickled, and at no other time."""
    module, _, class_name = name.rpartition(".")
    klass = type(class_name, (base,), {"__module__": module})
    with pytest.MonkeyPatch.context() as patch:
        for parent in (module.partition(".")[0], module):
            patch.setitem(sys.modules, parent, sys.modules.get(parent, type(sys)(parent)))
        patch.setattr(sys.modules[module], class_name, klass, raising=False)
        yield klass


def resumed(path: Path) -> None:
    """What demucs' solver writes to resume from, its arguments those of a package that is not installed."""
    with elsewhere("omegaconf.dictconfig.DictConfig") as config:
        training = {"optimizer": {"state": {0: {"step": torch.zeros(1)}}}, "history": [], "args": config()}
        torch.save({"state": STATE, "best_state": STATE, **training}, path)


def resumed_beside_best(path: Path) -> None:
    torch.save(package(), path.with_name("best.th"))
    resumed(path)


def configured(path: Path) -> None:
    with elsewhere("omegaconf.dictconfig.DictConfig") as config:
        torch.save(package(training_args=config()), path)


def lightning(path: Path) -> None:
    with elsewhere("omegaconf.dictconfig.DictConfig") as config:
        state = OrderedDict(prefixed("model."))
        training = {"pytorch-lightning_version": "2.4.0", "epoch": 21, "hyper_parameters": config()}
        torch.save({**training, "state_dict": state, "optimizer_states": []}, path)


def of_demucs_2(path: Path) -> None:
    with elsewhere("demucs.model.Demucs", nn.Module) as klass:
        torch.save((klass, [], {}, STATE), path)


def of_a_script(path: Path) -> None:
    with elsewhere("__main__.Net", nn.Module) as klass:
        torch.save(package(klass=klass), path)


def whole_of_a_script(path: Path) -> None:
    with elsewhere("__main__.Net", nn.Module) as klass:
        torch.save(klass(), path)


def scripted(path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="torch.jit.script"):
        torch.jit.script(nn.Linear(2, 2)).save(str(path))


def array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def safetensors(path: Path) -> None:
    save_file(STATE, path)


REFUSED: dict[str, tuple[str, Write, str]] = {
    # What a training leaves.
    "demucs' solver": ("checkpoint.th", resumed,
        f"{BUT}what a training of demucs resumes from; give best.th, which the training writes beside it"),
    "demucs' solver, and best.th": ("checkpoint.th", resumed_beside_best,
        f"{BUT}what a training of demucs resumes from; give FOLDER/best.th"),
    "state dict": ("state.th", saved(STATE),
        f"{BUT}weights (a state dict){MAKE}" + recipe("torch.load('PATH', 'cpu')")),
    "state dict of before zip": ("state.th", saved(STATE, _use_new_zipfile_serialization=False),
        f"{BUT}weights (a state dict){MAKE}" + recipe("torch.load('PATH', 'cpu')")),
    "state dict of Demucs": ("state.ckpt", saved(OrderedDict({"encoder.0.0.weight": torch.zeros(1)})),
        f"{BUT}weights (a state dict){MAKE}" + recipe("torch.load('PATH', 'cpu')", "demucs.demucs.Demucs")),
    "state dict of HDemucs": ("state.ckpt", saved({"module.freq_emb.embedding.weight": torch.zeros(1)}),
        f"{BUT}weights (a state dict){MAKE}" + recipe("torch.load('PATH', 'cpu')", "demucs.hdemucs.HDemucs")),
    "state dict of another model": ("state.ckpt", saved({"layers.0.weight": torch.zeros(1)}),
        f"{BUT}weights (a state dict) without the class and arguments of their model; no model of demucs has "
        "such (layers.0.weight): load them into their module in Python, and give that to "
        "onnx_demucs_compiler.compile"),
    "loop of one's own": ("epoch9.pt", saved({"epoch": 9, "model": STATE, "optimizer": {"param_groups": []}}),
        f"{BUT}weights (a state dict under 'model'){MAKE}" + recipe("torch.load('PATH', 'cpu')['model']")),
    "Lightning": ("last.ckpt", lightning,
        f"{BUT}weights (a state dict of PyTorch Lightning under 'state_dict'){MAKE}"
        + recipe("torch.load('PATH', 'cpu', weights_only=False)['state_dict']")),
    "optimizer": ("optimizer.pt", saved(torch.optim.Adam(NET.parameters()).state_dict()),
        f"{BUT}the state of an optimizer, without weights; give its model's"),
    "safetensors without a class": ("model.safetensors", safetensors,
        f"{BUT}weights (a state dict){MAKE}"
        + recipe("safetensors.torch.load_file('PATH')", imports="torch, safetensors.torch")),
    "whole module": ("whole.pt", saved(NET), MODULE + TRUST),
    "whole module of before zip": ("whole.pt", saved(NET, _use_new_zipfile_serialization=False),
        MODULE + TRUST),
    "whole module of a script": ("whole.pt", whole_of_a_script, MODULE + SCRIPT),
    "class of a script": ("net.th", of_a_script, asks_for("__main__.Net") + SCRIPT),
    "config of a package not here": ("best.th", configured,
        asks_for("omegaconf.dictconfig.DictConfig")
        + "if you trust its maker, install omegaconf and give --trust-checkpoint"),
    "demucs 2": ("tasnet.th", of_demucs_2,
        f"{BUT}one of demucs 1 or 2 (demucs.model.Demucs); give a model of demucs 3 or later"),
    # Other files.
    "TorchScript": ("scripted.pt", scripted,
        f"{BUT}a TorchScript archive, whose module has no Python class{FROM}"),
    "torch.export": ("exported.pt2", archive_of("x/archive_format", "x/models/model.json"),
        f"{BUT}a program of torch.export{FROM}"),
    "zip": ("model.th", archive_of("readme.txt", "best.th"),
        f"{BUT}an archive that torch.save did not write (it holds readme.txt, best.th); give a checkpoint"),
    "ONNX": ("htdemucs.onnx", holding(b"\x08\x08"), f"{BUT}a compiled model{FROM}"),
    "ORT": ("htdemucs.ort", holding(b"\x08\x08"), f"{BUT}a compiled model{FROM}"),
    "bag": ("mine.yaml", holding(b"models: ['97d170e1']\n"),
        "PATH is a bag, which is given by its name; give mine --repo FOLDER"),
    "YAML of something else": ("config.yaml", holding(b"audio: {hop_length: 441}\n"),
        "the bag PATH names no models; write models: ['SIGNATURE', ...]"),
    "empty": ("model.th", holding(b""), unreadable("is empty")),
    "text": ("model.th", holding(b"hello\n"), unreadable("looks like text")),
    "web page": ("model.th", holding(b"\n<!DOCTYPE html><title>404</title>"),
        unreadable("looks like a web page")),
    "LFS pointer": ("model.th", holding(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        unreadable("looks like a Git LFS pointer, whose file is still to be pulled")),
    "NumPy": ("model.th", array, unreadable("looks like an array of NumPy")),
    "song": ("model.th", holding(b"RIFF\x24\x00\x00\x00WAVEfmt "), unreadable("looks like audio")),
    "pickle of lists": ("model.th", holding(pickle.dumps({"a": [1, 2]})), NOTHING_OF_IT),
    "list": ("model.th", saved([1, 2]), NOTHING_OF_IT),
    "tensor": ("model.th", saved(torch.zeros(2)), NOTHING_OF_IT),
    "tuple of four": ("model.th", saved((1, 2, 3, 4)), f"{HOLDS}class as klass{SAVE}"),
    # Checkpoints that are not whole, or say what cannot be.
    "no kwargs": ("model.th", saved({"klass": HTDemucs, "args": (), "state": STATE}), f"{HOLDS}kwargs{SAVE}"),
    "class as text": ("model.th", saved(package(klass="HTDemucs")), f"{HOLDS}class as klass{SAVE}"),
    "keys missing and unexpected": ("model.th",
        saved(package(state={f"a{name}" if name[:2] == "de" else name: STATE[name] for name in STATE})),
        f"{UNFIT}RuntimeError: Error(s) in loading state_dict for HTDemucs: "
        'Missing key(s) in state_dict: "decoder.0.conv_tr.weight", "decoder.0.conv_tr.bias", '
        '"decoder.0.rewrite.weight", "decoder.0.rewrite.bias", ... '
        'Unexpected key(s) in state_dict: "adecoder.0.conv_tr.weight", "adecoder.0.conv_tr.bias", '
        f'"adecoder.0.rewrite.weight", "adecoder.0.rewrite.bias", ...{VERSION}'),
    "prefixed and of another size": ("model.th",
        saved(package(state=prefixed("module."), kwargs=OPTIONS | {"sources": ["one"]})),
        f"{UNFIT}RuntimeError: Error(s) in loading state_dict for HTDemucs: size mismatch for …"),
    "no arguments": ("model.th", saved(package(kwargs=None)),
        f"{UNFIT}TypeError: 'NoneType' object is not iterable{VERSION}"),
    "arguments as a number": ("model.th", saved(package(args=5)), f"{UNFIT}TypeError: …"),
    "lists as weights": ("model.th", saved(package(state={name: [1, 2] for name in STATE})),
        f"{UNFIT}RuntimeError: …"),
    "NaN": ("model.th", saved(package(state={name: weight * np.nan for name, weight in STATE.items()})),
        f"the checkpoint PATH has weights that are NaN or infinite ({len(STATE)} tensors, "
        "encoder.0.conv.weight first); give one from before its training diverged"),
    "half precision overflown": ("model.th",
        saved(package(state=STATE | {"encoder.0.conv.bias": torch.full((8,), 1e9).half()})),
        "the checkpoint PATH has weights that are NaN or infinite (1 tensors, "
        "encoder.0.conv.bias first); give one from before its training diverged"),
    "segment as text": ("model.th", saved(with_options(segment="x")), odd("segment='x'")),
    "segment of nothing": ("model.th", saved(with_options(segment=float("nan"))), odd("segment=nan")),
    "segment without end": ("model.th", saved(with_options(segment=float("inf"))), odd("segment=inf")),
    "rate of nothing": ("model.th", saved(with_options(samplerate=0)), odd("samplerate=0")),
    "sources as numbers": ("model.th", saved(with_options(sources=[1, 2])), odd("sources=[1, 2]")),
}  # fmt: skip
"""Name of the file, who writes it, and what is said: all of it, or what stands before an ellipsis."""

LOADED: dict[str, tuple[str, Write, tuple[str, ...]]] = {
    "demucs 1": ("model.th", saved((HTDemucs, [], OPTIONS, STATE)), ()),
    "date in the name": ("vocals-20240501.th", saved(package()), ()),
    "named as it was saved": ("best", saved(package()), ()),
    **{
        prefix: ("model.th", saved(package(state=prefixed(prefix))),
            (f"dropped {prefix!r} from the name of every weight in PATH",))
        for prefix in ("module.", "_orig_mod.", "model.", "module._orig_mod.", "model.model.")
    },
}  # fmt: skip
"""Name of the file, who writes it, and the warnings."""


def written(folder: Path, name: str, write: Write) -> Path:
    path = folder / name
    write(path)
    return path


def about(path: Path, text: str) -> str:
    return text.replace("PATH", str(path)).replace("FOLDER", str(path.parent))


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_checkpoint_is_told_in_its_line(kind: str, tmp_path: Path) -> None:
    name, write, line = REFUSED[kind]
    path = written(tmp_path, name, write)
    before = sorted(tmp_path.iterdir())
    result = CliRunner().invoke(app, ["compile", str(path), "-o", str(tmp_path / "out.onnx")])
    assert result.exit_code == (2 if kind == "bag" else 1), result.output
    assert result.stdout == ""
    expected = f"error: {about(path, line)}"
    if expected.endswith("…"):
        assert result.stderr.startswith(expected.removesuffix("…"))
        assert len(result.stderr.splitlines()) == 1
    else:
        assert result.stderr == f"{expected}\n"
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "said",
    [
        "weights: [[x, y]]",
        "weights: [[1, null]]",
        "weights: [[.nan, 1]]",
        "weights: [[.inf, 1]]",
        f"weights: [[1{'0' * 400}, 1]]",
        "segment: x",
        "segment: 0",
        "segment: -1",
        "segment: .nan",
        "segment: [1]",
    ],
)
def test_a_bag_whose_numbers_are_none_is_malformed(said: str, tmp_path: Path) -> None:
    torch.save(package(), tmp_path / "net.th")
    bag = tmp_path / "mine.yaml"
    bag.write_text(f"models: ['net']\n{said}\n")
    with pytest.raises(CompilerError) as error:
        load_model("mine", tmp_path)
    assert str(error.value) == (
        f"the bag {bag} is malformed: give 'weights' one number per source for each model, "
        "and 'segment' in seconds"
    )


@pytest.mark.parametrize("content", ["[" * 10**4, "models: 2024-99-99", "models: ['net'", "\x00"])
def test_a_bag_that_is_no_yaml_cannot_be_read(content: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(CompilerError, match="cannot read the bag .*; it must be YAML that names models"):
        load_model("mine", tmp_path)


@pytest.mark.parametrize("kind", LOADED)
def test_what_is_a_checkpoint_loads(kind: str, tmp_path: Path) -> None:
    name, write, warnings = LOADED[kind]
    path = written(tmp_path, name, write)
    source = load_model(str(path))
    assert source.warnings == tuple(about(path, warning) for warning in warnings)
    assert_is_net(source.module)


def assert_is_net(module: nn.Module) -> None:
    weights = module.state_dict()
    assert weights.keys() == STATE.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(weight, STATE[name], rtol=0, atol=0)


@pytest.mark.parametrize("module", [NET, nn.DataParallel(NET)], ids=["module", "DataParallel"])
def test_a_whole_module_that_is_trusted_is_the_model(module: nn.Module, tmp_path: Path) -> None:
    path = written(tmp_path, "whole.pt", saved(module))
    source = load_model(str(path), trust_checkpoint=True)
    assert (source.sources, source.segment) == (("speech", "noise"), 1600)
    assert_is_net(source.module)


def test_a_whole_module_without_data_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "whole.pt", saved(copy.deepcopy(NET).to("meta")))
    with pytest.raises(CompilerError, match="whole cannot be copied"):
        compile_model(load_model(str(path), trust_checkpoint=True))


@pytest.mark.parametrize("kind", [kind for kind, (_, _, line) in REFUSED.items() if TRUST not in line])
def test_trust_is_not_advised_in_vain(kind: str, tmp_path: Path) -> None:
    """What is refused without a word of trust is refused to those who trust it too."""
    name, write, _ = REFUSED[kind]
    with pytest.raises(CompilerError) as error:
        load_model(str(written(tmp_path, name, write)), trust_checkpoint=True)
    assert "\n" not in str(error.value)
    assert "--trust-checkpoint" not in str(error.value)


@pytest.mark.parametrize(
    "kind", ["state dict", "state dict of before zip", "loop of one's own", "safetensors without a class"]
)
def test_the_two_lines_make_a_checkpoint(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, write, _ = REFUSED[kind]
    with pytest.raises(CompilerError) as error:
        load_model(str(written(tmp_path, name, write)))
    [lines] = error.value.__notes__
    monkeypatch.chdir(tmp_path)
    exec(
        lines.replace("  ", "").replace('{"sources": ["drums", "bass", "other", "vocals"]}', "OPTIONS"),
        {"OPTIONS": OPTIONS},
    )
    assert_is_net(load_model("model.th").module)


def test_nothing_is_imported_to_tell_a_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what the file names nor the package that it is in."""
    mark = tmp_path / "mark"
    (tmp_path / "marking").mkdir()
    (tmp_path / "marking" / "__init__.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    (tmp_path / "marking" / "inner.py").write_text("class Net:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with elsewhere("marking.inner.Net", nn.Module) as klass:
        contents = [klass(), package(klass=klass), {"state_dict": STATE, "hyper_parameters": klass()}, klass]
        paths = [written(tmp_path, f"{number}.th", saved(content)) for number, content in enumerate(contents)]
    for path in paths:
        with pytest.raises(CompilerError):
            load_model(str(path))
    assert "marking" not in sys.modules
    assert not mark.exists()


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("structured", [False, True])
def test_safetensors_under_any_name(prefix: str, structured: bool, tmp_path: Path) -> None:
    """With a structure, as those of quantised states have one, and without."""
    state = prefixed(prefix)
    metadata = {
        "klass": "demucs.htdemucs.HTDemucs",
        "args": "[]",
        "kwargs": json.dumps(OPTIONS | {"segment": {"_type": "fraction", "numerator": 1, "denominator": 5}}),
    }
    if structured:
        metadata["structure"] = json.dumps({"_dict": [[name, {"_tensor": name}] for name in state]})
    for name in ("model.safetensors", "model.th"):
        save_file(state, tmp_path / name, metadata)
        source = load_model(str(tmp_path / name))
        assert len(source.warnings) == bool(prefix)
        assert_is_net(source.module)


class Wrapping(nn.Module):
    """A class of one's own whose weights are called model.0.weight and model.0.bias."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Linear(2, 2))


@pytest.mark.parametrize(("prefix", "dropped"), [("", 0), ("module.", 1)])
def test_a_prefix_of_the_class_itself_is_kept(prefix: str, dropped: int, tmp_path: Path) -> None:
    state = {f"{prefix}{name}": weight for name, weight in Wrapping().state_dict().items()}
    path = written(tmp_path, "own.th", saved(package(klass=Wrapping, kwargs={}, state=state)))
    source = load_model(str(path), trust_checkpoint=True)
    assert len(source.warnings) == dropped
    assert list(source.module.state_dict()) == ["model.0.weight", "model.0.bias"]


@pytest.mark.parametrize("digits", ["20249999", "19991231", "12345678", "20240230"])
def test_eight_digits_that_are_no_date_are_a_digest(digits: str, tmp_path: Path) -> None:
    path = written(tmp_path, f"vocals-{digits}.th", saved(package()))
    with pytest.raises(CompilerError, match=f"does not match the checksum in its name: expected {digits}"):
        load_model(str(path))


def test_what_was_dropped_is_said_on_stderr_and_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"sources": ["a", "b"], "channels": 4, "growth": 1, "depth": 1, "lstm_layers": 0}
    options |= {"dconv_mode": 0, "rewrite": False, "resample": False, "samplerate": 8000, "segment": 0.1}
    state = {f"module.{name}": weight for name, weight in Demucs(**options).state_dict().items()}
    monkeypatch.chdir(tmp_path)
    torch.save(package(klass=Demucs, kwargs=options | {"lr": 1e-4}, state=state), "ddp.ckpt")
    result = CliRunner().invoke(app, ["compile", "./ddp.ckpt", "--no-verify", "--json"])
    warnings = [
        "dropped 'lr', which Demucs does not take, from the arguments in ddp.ckpt",
        "dropped 'module.' from the name of every weight in ddp.ckpt",
    ]
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [f"warning: {warning}" for warning in warnings]
    assert json.loads(result.stdout)["warnings"] == warnings
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ddp.ckpt", "ddp.onnx"]

"""ORT format, reduced-operator config and bundle, as a user meets them."""

import errno
import hashlib
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_examples import fails_cleanly, run, succeeds

from onnx_demucs_compiler import CompiledModel, loading
from onnx_demucs_compiler.checking.verification import artifact_metadata
from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.ort import bundle
from onnx_demucs_compiler.runtime import Separator

CONFIG = "two.required_operators_and_types.config"
BUNDLE = ["README.md", "SHA256SUMS", "model.onnx", "model.ort",
          "model.required_operators_and_types.config"]  # fmt: skip


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test that gets as far as loading a model."""

    def load(*_: Any) -> None:
        raise AssertionError("work was begun before the request was checked")

    monkeypatch.setattr(loading, "load_model", load)


@pytest.fixture
def config(artifact: Path, folder: Path) -> Path:
    succeeds(run("ops-config", artifact, "-o", "two.config"))
    return folder / "two.config"


def test_all_three_files(checkpoint: Path, artifact: Path, config: Path, folder: Path) -> None:
    succeeds(run("compile", checkpoint, "-o", "two.onnx", "--ort-format", "--ops-config", "-q"))
    assert files(folder) == ["two.config", "two.onnx", "two.ort", CONFIG]
    assert (folder / "two.onnx").read_bytes() == artifact.read_bytes()
    assert (folder / CONFIG).read_bytes() == config.read_bytes()
    noise = np.random.default_rng(0).standard_normal((2, 2000)).astype(np.float32)
    stems = [Separator(folder / name).separate(noise) for name in ("two.onnx", "two.ort")]
    for name in ("speech", "noise"):
        np.testing.assert_allclose(stems[1][name], stems[0][name], atol=1e-6)


@pytest.mark.parametrize(("option", "name"), [("--ort-format", "two.ort"), ("--ops-config", CONFIG)])
def test_one_of_them(option: str, name: str, checkpoint: Path, folder: Path) -> None:
    succeeds(run("compile", checkpoint, option, "-q"))
    assert files(folder) == sorted(["two.onnx", name])


@pytest.mark.usefixtures("loads_nothing")
@pytest.mark.parametrize(("option", "name"), [("--ort-format", "two.ort"), ("--ops-config", CONFIG)])
def test_what_exists_is_kept(option: str, name: str, folder: Path) -> None:
    (folder / name).write_bytes(b"precious")
    fails_cleanly(run("compile", "two.th", option), 2, f"{name} exists; give --force")
    assert (folder / name).read_bytes() == b"precious"


@pytest.mark.usefixtures("loads_nothing")
def test_no_two_outputs_are_one_file(folder: Path) -> None:
    fails_cleanly(run("compile", "two.th", "-o", "two.ort", "--ort-format"), 2, "would replace")
    fails_cleanly(run("compile", "two.th", "--ops-config", "--report", CONFIG), 2, "would replace")
    assert files(folder) == []


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_all_or_none(writes: int, checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full after so many files: those of before stay as they are."""
    done = []

    def fsync(descriptor: int) -> None:
        done.append(descriptor)
        if len(done) > writes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for name in ("two.onnx", "two.ort", CONFIG):
        (folder / name).write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", fsync)
    options = ("--ort-format", "--ops-config", "--force")
    fails_cleanly(run("compile", checkpoint, *options), 1, "cannot be written (No space left on device)")
    assert files(folder) == ["two.onnx", "two.ort", CONFIG]
    assert {path.read_bytes() for path in folder.iterdir()} == {b"old"}


@pytest.mark.parametrize("options", [["--ort-format", "--ops-config"], ["--bundle", "b"]], ids=" ".join)
def test_below_the_gate_nothing_is_written(options: list[str], checkpoint: Path, folder: Path) -> None:
    fails_cleanly(run("compile", checkpoint, *options, "--min-snr", "500"), 1, "parity failed")
    assert files(folder) == []


def test_a_bundle(checkpoint: Path, artifact: Path, config: Path, folder: Path) -> None:
    printed = succeeds(run("compile", checkpoint, "--bundle", "b"))
    assert "b/model.onnx: " in printed
    assert files(folder) == ["b", "two.config"]
    assert files(folder / "b") == BUNDLE
    assert (folder / "b" / "model.onnx").read_bytes() == artifact.read_bytes()
    assert (folder / "b" / BUNDLE[-1]).read_bytes() == config.read_bytes()
    sums = dict(re.findall(r"^([0-9a-f]{64})  (\S+)$", (folder / "b" / "SHA256SUMS").read_text(), re.M))
    assert sorted(sums.values()) == [name for name in BUNDLE if name != "SHA256SUMS"]
    for digest, name in sums.items():
        assert hashlib.sha256((folder / "b" / name).read_bytes()).hexdigest() == digest
    readme = (folder / "b" / "README.md").read_text()
    assert readme.startswith("# two\n")
    assert "--disable_contrib_ops" in readme


def test_a_bundle_is_replaced_by_force(checkpoint: Path, artifact: Path, folder: Path) -> None:
    (folder / "b").mkdir()
    (folder / "b" / "model.onnx").write_bytes(b"old")
    fails_cleanly(run("compile", checkpoint, "--bundle", "b"), 2, "b exists; give --force")
    assert (folder / "b" / "model.onnx").read_bytes() == b"old"
    succeeds(run("compile", checkpoint, "--bundle", "b", "--force", "-q"))
    assert (folder / "b" / "model.onnx").read_bytes() == artifact.read_bytes()
    assert files(folder) == ["b"]


@pytest.mark.usefixtures("loads_nothing")
def test_a_folder_of_someone_elses_is_no_bundle(folder: Path) -> None:
    (folder / "music").mkdir()
    (folder / "music" / "song.wav").write_bytes(b"precious")
    fails_cleanly(run("compile", "two.th", "--bundle", "music", "--force"), 2, "music is not a bundle")
    fails_cleanly(run("compile", "two.th", "--bundle", "absent/b"), 1, "the folder absent does not exist")
    assert files(folder / "music") == ["song.wav"]


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()])
def test_no_half_of_a_bundle(
    fault: BaseException, before: bool, artifact: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever rename fails: the folder is as it was."""
    if before:
        (folder / "b").mkdir()
        (folder / "b" / "model.onnx").write_bytes(b"old")
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise fault
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises((CompilerError, KeyboardInterrupt)):
        bundle.write_bundle(folder / "b", "two", artifact.read_bytes(), force=True)
    assert files(folder) == (["b"] if before else [])
    assert not before or (folder / "b" / "model.onnx").read_bytes() == b"old"


def test_the_flags_of_contrib_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--disable_contrib_ops" in bundle._readme("two", b"ai.onnx;11;Conv\n")
    readme = bundle._readme("two", b"ai.onnx;11;Conv\ncom.microsoft;1;MultiHeadAttention\n")
    assert "\n    --disable_ml_ops" in readme
    assert "must not have `--disable_contrib_ops`" in readme


def test_from_python(artifact: Path, folder: Path) -> None:
    import onnx

    metadata = artifact_metadata(artifact)
    compiled = CompiledModel(onnx.load(artifact), metadata, None)  # type: ignore[arg-type]
    assert compiled.save("two.onnx", ort_format=True, ops_config=True) == Path("two.onnx")
    assert compiled.save_bundle("b") == Path("b/model.onnx")
    assert files(folder) == ["b", "two.onnx", "two.ort", CONFIG]


def test_verify_with_a_config(artifact: Path, checkpoint: Path, config: Path) -> None:
    command = ("verify", artifact, "--model", checkpoint, "--ops-config", config, "-q")
    assert succeeds(run(*command)) == ""
    config.write_text(config.read_text().replace("Conv{", "FusedConv{"))
    fails_cleanly(run(*command), 1, "two.config: the reduced-operator config lacks ai.onnx;11;Conv;",
                  "has ai.onnx;11;FusedConv, which nothing uses")  # fmt: skip


def test_one_config_for_several(artifact: Path, config: Path, folder: Path) -> None:
    printed = succeeds(run("ops-config", artifact, artifact, "-o", "both.config"))
    assert printed == "both.config\n"
    assert (folder / "both.config").read_bytes() == config.read_bytes()
    assert "every kernel is there" in succeeds(run("ops-config", artifact, "--check", config))
    config.write_text(config.read_text().replace("ai.onnx;11;Conv", "ai.onnx;1;Conv"))
    fails_cleanly(run("ops-config", artifact, "--check", config), 1, "two.config: the reduced", "lacks")


def test_wrong_usage_of_ops_config(artifact: Path, config: Path, folder: Path) -> None:
    (folder / "bad.onnx").write_bytes(b"not a model" * 100)
    fails_cleanly(run("ops-config", artifact), 2, "give either --output")
    fails_cleanly(run("ops-config", artifact, "-o", "x", "--check", config), 2, "give either --output")
    fails_cleanly(run("ops-config", artifact, "-o", config), 2, "two.config exists; give --force")
    fails_cleanly(run("ops-config", "bad.onnx", "-o", "bad.onnx", "--force"), 2, "would replace a model")
    fails_cleanly(run("ops-config", "bad.onnx", "-o", "x"), 1, "bad.onnx: onnxruntime cannot load it")
    fails_cleanly(run("ops-config", "absent.onnx", "-o", "x"), 1, "absent.onnx: no such file")
    fails_cleanly(run("ops-config", artifact, "-o", "absent/x"), 1, "the folder absent does not exist")
    fails_cleanly(run("ops-config", artifact, "--check", "absent"), 1, "absent")
    fails_cleanly(run("ops-config", artifact, "--check", artifact), 1, "is not a reduced-operator config")
    assert files(folder) == ["bad.onnx", "two.config"]


def test_embed(artifact: Path, folder: Path) -> None:
    assert succeeds(run("embed", artifact, "-o", "plugin")) == "plugin/two.h\n"
    assert files(folder / "plugin") == ["CMakeLists.txt", "README.md", "two.c", "two.h", "two.ort"]
    converted = (folder / "plugin" / "two.ort").read_bytes()
    assert succeeds(run("embed", "plugin/two.ort", "-o", "other", "--prefix", "model", "-q")) == ""
    assert (folder / "other" / "model.ort").read_bytes() == converted


def test_embed_takes_weights_in_a_second_file(artifact: Path, folder: Path) -> None:
    import onnx

    compiled = CompiledModel(onnx.load(artifact), artifact_metadata(artifact), None)  # type: ignore[arg-type]
    (folder / "sub").mkdir()
    compiled.save(folder / "sub" / "apart.onnx", external_data=True)
    for model, prefix in ((artifact, "one"), (folder / "sub" / "apart.onnx", "two")):
        succeeds(run("embed", model, "-o", prefix, "--prefix", "model", "-q"))
    noise = np.random.default_rng(0).standard_normal((2, 2000)).astype(np.float32)
    one, two = (Separator(folder / name / "model.ort").separate(noise) for name in ("one", "two"))
    for name, stem in one.items():
        np.testing.assert_array_equal(stem, two[name])


def test_wrong_usage_of_embed(artifact: Path, folder: Path) -> None:
    (folder / "bad.onnx").write_bytes(b"not a model" * 100)
    (folder / "full").mkdir()
    (folder / "full" / "song.wav").write_bytes(b"precious")
    fails_cleanly(run("embed", "bad.onnx", "-o", "x"), 1, "bad.onnx: onnxruntime cannot load it")
    fails_cleanly(run("embed", "absent.onnx", "-o", "x"), 1, "absent.onnx: no such file")
    fails_cleanly(run("embed", artifact, "-o", "x", "--prefix", "6s"), 2, "does not begin a name in C")
    fails_cleanly(run("embed", artifact, "-o", "absent/x"), 1, "the folder absent does not exist")
    fails_cleanly(run("embed", artifact, "-o", "full"), 2, "full exists; give --force")
    fails_cleanly(run("embed", artifact, "-o", "full", "--force"), 2, "full holds more than sources of two")
    assert files(folder) == ["bad.onnx", "full"]
    assert files(folder / "full") == ["song.wav"]

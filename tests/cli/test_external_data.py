"""Models whose weights lie in another file: written, and read by every command from any folder."""

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from cli_examples import TWO_STEMS, fails_cleanly, run, strict_json, succeeds, write_checkpoint
from demucs.demucs import Demucs

from onnx_demucs_compiler.runtime import Separator

WEIGHTS = "two.onnx.data"
WIDE = TWO_STEMS | {"channels": 256}
"""Wide enough for weights that are worth a file of their own."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "two.th", Demucs(**WIDE), **WIDE)


@pytest.fixture(scope="module")
def artifact(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("artifact") / "two.onnx"
    succeeds(run("compile", checkpoint, "-o", path, "--quiet"))
    return path


@pytest.fixture(scope="module", params=["ours", "onnx"])
def pair(
    request: pytest.FixtureRequest, artifact: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Written by this compiler, or by onnx. Tests must leave it as it is."""
    path = tmp_path_factory.mktemp("pair") / "two.onnx"
    if request.param == "ours":
        succeeds(run("compile", checkpoint, "-o", path, "--external-data", "--no-verify", "-q"))
    else:
        onnx.save(onnx.load(artifact), path, save_as_external_data=True, location=WEIGHTS, size_threshold=80)
    return path


@pytest.fixture
def external(pair: Path, folder: Path) -> Path:
    return Path(shutil.copytree(pair.parent, folder / "saved")) / pair.name


@pytest.fixture(params=[".", "saved", "elsewhere"])
def named(
    request: pytest.FixtureRequest, external: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The model as seen from a folder, which is the current one."""
    here = folder / request.param
    here.mkdir(exist_ok=True)
    monkeypatch.chdir(here)
    return Path(os.path.relpath(external, here))


def test_ops_config(named: Path, artifact: Path) -> None:
    succeeds(run("ops-config", named, "-o", "two.config"))
    succeeds(run("ops-config", artifact, named, "--check", "two.config"))


def test_verify(named: Path, artifact: Path, checkpoint: Path) -> None:
    succeeds(run("ops-config", artifact, "-o", "two.config"))
    succeeds(run("verify", named, "--model", checkpoint, "--ops-config", "two.config"))


def test_a_contract_that_wants_one_file(named: Path) -> None:
    result = run("verify", named, "--contract", "official", "-q")
    fails_cleanly(result, 1, "weights lie in another file", "save as one file")


def test_separate(named: Path, artifact: Path) -> None:
    song = np.random.default_rng(0).normal(0, 0.1, (2, 2000)).astype(np.float32)
    soundfile.write("song.wav", song.T, 8000, "FLOAT")
    result = run("separate", named, "song.wav", "--float32", "--clip-mode", "none", "--json")
    assert result.exit_code == 0, result.stderr
    files = json.loads(result.stdout)["songs"][0]["files"].values()
    found = [soundfile.read(file, dtype="float32")[0].T for file in files]
    wanted = Separator(artifact).separate(song)
    np.testing.assert_allclose(found, list(wanted.values()), rtol=0, atol=1e-6)


@pytest.mark.parametrize("left", [None, 10])
def test_weights_that_are_not_there(left: int | None, external: Path, checkpoint: Path) -> None:
    """Told as such, and not as a file that is no model."""
    weights = external.with_name(WEIGHTS)
    content = weights.read_bytes()
    weights.unlink() if left is None else weights.write_bytes(content[:left])
    fails_cleanly(
        run("verify", external, "--model", checkpoint), 1, "its weights in another file cannot be read"
    )
    fails_cleanly(run("ops-config", external, "-o", "x"), 1, "onnxruntime cannot load it as a model")
    fails_cleanly(run("separate", external, "song.wav"), 1, "onnxruntime cannot load it as a model")


def test_info(named: Path, artifact: Path) -> None:
    facts = strict_json(succeeds(run("info", named, "--json")))
    weights = named.with_name(WEIGHTS)
    assert facts["weights_in"] == {WEIGHTS: weights.stat().st_size}
    assert facts["changed"] is False
    weights.unlink()
    assert f"weights in:      {WEIGHTS} missing" in succeeds(run("info", named))
    assert "weights_in" not in strict_json(succeeds(run("info", artifact, "--json")))


def test_both_files_are_summed_and_told(checkpoint: Path, folder: Path) -> None:
    options = ("--external-data", "--sha256", "--sbom", "bill.json", "--no-verify", "-q")
    succeeds(run("compile", checkpoint, "-o", "out.onnx", *options))
    both = ["out.onnx", "out.onnx.data"]
    assert sorted(path.name for path in folder.iterdir()) == ["bill.json", *both, "out.onnx.sha256"]
    sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in both}
    lines = (folder / "out.onnx.sha256").read_text().splitlines()
    assert lines == [f"{sums[name]}  {name}" for name in both]
    bill = json.loads((folder / "bill.json").read_text())
    [weights] = bill["components"]
    assert (weights["name"], weights["hashes"][0]["content"]) == (both[1], sums[both[1]])


def test_the_ort_file_is_whole(checkpoint: Path, folder: Path) -> None:
    options = ("--external-data", "--ort-format", "--no-verify", "-q")
    succeeds(run("compile", checkpoint, "-o", "out.onnx", *options))
    (folder / "out.onnx.data").unlink()
    succeeds(run("verify", "out.ort", "--contract", "minimal", "-q"))


def test_an_earlier_pair_is_replaced_only_by_force(checkpoint: Path, folder: Path) -> None:
    (folder / "out.onnx.data").write_bytes(b"precious")
    asked = ("compile", checkpoint, "-o", "out.onnx", "--external-data", "--no-verify", "-q")
    fails_cleanly(run(*asked), 2, "out.onnx.data exists; give --force")
    assert [path.read_bytes() for path in folder.iterdir()] == [b"precious"]
    succeeds(run(*asked, "--force"))
    succeeds(run("verify", "out.onnx", "--contract", "portable", "-q"))


def test_both_or_neither(checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights have their name when the graph gets none."""
    before = {"out.onnx": b"old graph", "out.onnx.data": b"old weights"}
    for name, content in before.items():
        (folder / name).write_bytes(content)
    replace = Path.replace

    def refuse_the_graph(self: Path, target: Path) -> Path:
        if target.name == "out.onnx" and self.suffix == ".part":
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse_the_graph)
    asked = ("compile", checkpoint, "-o", "out.onnx", "--external-data", "--no-verify", "--force")
    fails_cleanly(run(*asked), 1, "out.onnx: cannot be written (Permission denied)")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_bundle_is_one_file(folder: Path) -> None:
    fails_cleanly(run("compile", "htdemucs", "--bundle", "b", "--external-data"), 2,
                  "--bundle excludes --external-data")  # fmt: skip


def test_the_target_decides_unless_told(checkpoint: Path, folder: Path) -> None:
    asked = ("compile", checkpoint, "--target", "web", "--no-verify", "-q", "-o")
    succeeds(run(*asked, "web.onnx"))
    succeeds(run(*asked, "one.onnx", "--no-external-data"))
    succeeds(run(*asked[:-1], "--bundle", "b"))
    assert sorted(path.name for path in folder.iterdir()) == ["b", "one.onnx", "web.onnx", "web.onnx.data"]
    assert strict_json(succeeds(run("info", "web.onnx", "--json")))["providers"] == ["webgpu", "wasm"]

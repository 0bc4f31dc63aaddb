"""Compiles that share a folder, and a folder without room."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from cli_examples import HERE, ROOT, start, write_two_stems

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@posix
@pytest.mark.parametrize("outputs", [("x.onnx", "x.onnx"), ("x.onnx", "y.onnx")], ids=["same", "different"])
def test_two_compiles_at_once(
    outputs: tuple[str, str], checkpoint: Path, artifact: Path, tmp_path: Path
) -> None:
    """Of two that write the same file, one or the other is there whole."""
    other = write_two_stems(tmp_path / "other.th", seed=1)
    out = tmp_path / "out"
    out.mkdir()
    processes = [
        start("compile", model, "-o", out / output, "--force", "--quiet")
        for model, output in zip((checkpoint, other), outputs, strict=True)
    ]
    for process in processes:
        assert (process.communicate(timeout=180), process.returncode) == (("", ""), 0)
    assert names(out) == sorted(set(outputs))
    for name in names(out):
        onnx.checker.check_model(onnx.load(out / name))
    if outputs[0] != outputs[1]:
        first, second = ((out / name).read_bytes() for name in outputs)
        assert first == artifact.read_bytes() != second


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("unshare"), reason="mounts of its own")
@pytest.mark.parametrize("old", [b"", b"what was there"], ids=["new", "old"])
def test_a_disk_of_its_own_that_is_too_small(old: bytes, checkpoint: Path, tmp_path: Path) -> None:
    """A full tmpfs, in a namespace that no other process sees."""
    disk, seen = tmp_path / "disk", tmp_path / "seen"
    disk.mkdir()
    seen.mkdir()
    (seen / "before").write_bytes(old)
    compile_ = "import sys; from onnx_demucs_compiler.__main__ import main; main(sys.argv[1:])"
    script = (
        f'mount -t tmpfs -o size=64k none {disk} || exit 99\n'
        f'[ ! -s {seen}/before ] || cp {seen}/before {disk}/x.onnx\n'
        f'cat /dev/zero > {disk}/filler 2> {seen}/full\n'
        f'"$@"; code=$?\n'
        f'rm {disk}/filler; cp -a {disk}/. {seen}/; exit $code'
    )  # fmt: skip
    finished = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh", sys.executable, "-c", compile_,
         "compile", checkpoint, "-o", disk / "x.onnx", "--force", "--quiet"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "rules", HERE)))},
        capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip
    if finished.returncode == 99 or "unshare" in finished.stderr:
        pytest.skip("this machine lets nobody mount")
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr == f"error: {disk / 'x.onnx'}: cannot be written (No space left on device)\n"
    assert names(seen) == ["before", "full", "x.onnx"][: 3 if old else 2]
    assert not old or (seen / "x.onnx").read_bytes() == old

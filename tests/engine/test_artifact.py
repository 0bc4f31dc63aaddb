"""Files come to disk whole or not at all."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
from engine_examples import two_stems

from onnx_demucs_compiler import CompiledModel, CompilerError, UsageError, compile
from onnx_demucs_compiler.artifact import writing
from onnx_demucs_compiler.artifact.writing import check_writable, write_atomically, write_together

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals, modes and resource limits")


def refusal(path: Path) -> str:
    """The one line with which writing fails: not wrong usage, and nothing changes in the folder."""
    folder = path.parent
    before = sorted(folder.rglob("*")) if folder.is_dir() else None
    with pytest.raises(CompilerError) as error:
        write_atomically(path, b"new")
    assert not isinstance(error.value, UsageError)
    assert "\n" not in str(error.value)
    assert (sorted(folder.rglob("*")) if folder.is_dir() else None) == before
    return str(error.value)


def test_a_file_is_written(tmp_path: Path) -> None:
    write_atomically(tmp_path / "model.onnx", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("model.onnx", b"new")]


def test_an_old_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"something longer than what comes")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@posix
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_the_mode_is_that_of_any_new_file(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "model.onnx", b"new")
    finally:
        assert os.umask(before) == mask
    assert stat.S_IMODE((tmp_path / "model.onnx").stat().st_mode) == 0o666 & ~mask


def test_the_longest_name_that_a_file_system_takes(tmp_path: Path) -> None:
    path = tmp_path / f"{'m' * 250}.onnx"
    write_atomically(path, b"new")
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder(tmp_path: Path) -> None:
    assert "does not exist; create it first" in refusal(tmp_path / "absent" / "model.onnx")
    assert not (tmp_path / "absent").exists()


def test_a_file_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "does not exist; create it first" in refusal(tmp_path / "file" / "model.onnx")


def test_a_folder_for_a_file(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").mkdir()
    assert "is a folder; give the name of a file" in refusal(tmp_path / "model.onnx")


@posix
def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is not a regular file" in refusal(tmp_path / "pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    with pytest.raises(CompilerError, match="/dev/null is not a regular file"):
        check_writable(Path("/dev/null"))


def test_a_read_only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert f"the folder {tmp_path} is not writable" in refusal(tmp_path / "model.onnx")


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind root")
def test_a_folder_that_is_really_read_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert "is not writable" in refusal(tmp_path / "model.onnx")
    finally:
        tmp_path.chmod(0o700)


class Failing:
    """A file that takes half of what it is given."""

    def __init__(self, error: BaseException, descriptor: int) -> None:
        self.file, self.error = open(descriptor, "wb"), error  # noqa: SIM115

    def __enter__(self) -> "Failing":
        return self

    def __exit__(self, *_: Any) -> None:
        self.file.close()

    def write(self, data: bytes) -> None:
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        raise self.error


@pytest.mark.parametrize("old", [None, b"old"])
def test_a_full_disk(old: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(os, "fdopen", lambda descriptor, mode: Failing(full, descriptor))
    path = tmp_path / "model.onnx"
    if old:
        path.write_bytes(old)
    assert "cannot be written (No space left on device)" in refusal(path)
    assert path.exists() == bool(old)
    assert not old or path.read_bytes() == old


def test_an_interrupt_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fdopen", lambda descriptor, mode: Failing(KeyboardInterrupt(), descriptor))
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("model.onnx", b"old")]


def test_renaming_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(self: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    monkeypatch.setattr(Path, "replace", replace)
    assert "cannot be written (Invalid cross-device link)" in refusal(path)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("model.onnx", b"old")]


def test_files_appear_together_or_not_at_all(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    with pytest.raises(CompilerError, match="does not exist"):
        write_together({one: b"1", tmp_path / "absent" / "other": b"2"})
    assert list(tmp_path.iterdir()) == []
    write_together({one: b"1", other: b"2"})
    assert (one.read_bytes(), other.read_bytes()) == (b"1", b"2")
    assert sorted(tmp_path.iterdir()) == [one, other]


def test_what_has_its_name_gives_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third file cannot have its name: of the two before it one was there earlier, one was not."""
    old, new, third = (tmp_path / name for name in ("old", "new", "third"))
    old.write_bytes(b"old")
    publish = writing._publish

    def refuse_the_third(path: Path, *rest: Any) -> None:
        if path == third:
            raise CompilerError("no")
        publish(path, *rest)

    monkeypatch.setattr(writing, "_publish", refuse_the_third)
    with pytest.raises(CompilerError, match="no"):
        write_together({old: b"1", new: b"2", third: b"3"})
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("old", b"old")]
    monkeypatch.setattr(writing, "_publish", publish)
    write_together({old: b"1", new: b"2", third: b"3"})
    assert sorted(tmp_path.iterdir()) == [new, old, third]
    assert old.read_bytes() == b"1"


def test_where_files_without_a_name_are_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.onnx"
    monkeypatch.setattr(writing, "DESCRIPTORS", tmp_path / "absent")
    for content in (b"first", b"second"):
        write_atomically(path, content)
        assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("model.onnx", content)]


@posix
@pytest.mark.parametrize("limit", [0, 1000, 999_999])
def test_a_disk_that_fills_up(limit: int, tmp_path: Path) -> None:
    """A limit on the size of files stands for it."""
    code = f"""
import resource, signal, sys
from pathlib import Path
from onnx_demucs_compiler.artifact.writing import write_atomically
from onnx_demucs_compiler.errors import CompilerError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    write_atomically(Path(sys.argv[1]), bytes(1_000_000))
except CompilerError as error:
    print(error)
"""
    path = tmp_path / "model.onnx"
    arguments = [sys.executable, "-c", code, str(path)]
    root = Path(writing.__file__).parents[2]
    finished = subprocess.run(arguments, cwd=root, capture_output=True, text=True, check=True)
    assert finished.stdout == f"{path}: cannot be written (File too large)\n"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def small() -> CompiledModel:
    return compile(two_stems())


def test_saving_takes_text_and_returns_the_path(small: CompiledModel, tmp_path: Path) -> None:
    path = small.save(str(tmp_path / "model.onnx"))
    assert path == tmp_path / "model.onnx"
    assert onnx.load(path) == small.model

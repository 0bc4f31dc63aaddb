"""Models as sources of C."""

import errno
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.ort import embedded, write_embedded

MODEL = bytes(range(256)) * 5
MAIN = """
#include "tiny.h"
#include <stdio.h>
int main(void) {
    if ((size_t)tiny_begin % 64 != 0 || tiny_end != tiny_begin + tiny_size) return 1;
    return fwrite(tiny_begin, 1, tiny_size, stdout) == tiny_size ? 0 : 1;
}
"""


@pytest.fixture(params=["array", "assembler"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model, embedded either way."""
    if request.param == "assembler":
        monkeypatch.setattr(embedded, "LARGEST_ARRAY", len(MODEL) - 1)
    else:
        monkeypatch.setattr(embedded, "LARGEST_ARRAY", len(MODEL))
    write_embedded(tmp_path / "tiny", MODEL, "tiny")
    return tmp_path / "tiny"


def source(folder: Path) -> Path:
    [path] = [*folder.glob("tiny.c"), *folder.glob("tiny.S")]
    return path


def test_the_files(folder: Path) -> None:
    kinds = {".c"} if source(folder).suffix == ".c" else {".S", ".rc"}
    assert {path.suffix for path in folder.iterdir()} == {".h", ".ort", ".txt", ".md"} | kinds
    assert (folder / "tiny.ort").read_bytes() == MODEL
    readme = (folder / "README.md").read_text()
    assert f"{len(MODEL)} bytes" in readme
    assert ("FindResourceW" in readme) == (".rc" in kinds)
    assert "$" not in readme


@pytest.mark.parametrize("compiler", ["cc", "c++"])
def test_a_program_that_holds_it(folder: Path, compiler: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    main = folder / ("main.c" if compiler == "cc" else "main.cpp")
    main.write_text(MAIN)
    objects = [
        [compiler, "-Wall", "-Werror", "-c", main, f"-I{folder}", "-o", folder / "main.o"],
        ["cc", "-Wall", "-Werror", "-c", source(folder), f"-I{folder}", "-o", folder / "model.o"],
        [compiler, folder / "main.o", folder / "model.o", "-o", folder / "main"],
    ]
    for words in objects:
        subprocess.run(words, check=True)
    assert subprocess.run([folder / "main"], capture_output=True, check=True).stdout == MODEL


def test_a_shared_library_does_not_export_it(folder: Path) -> None:
    if shutil.which("cc") is None or shutil.which("nm") is None:
        pytest.skip("no C compiler")
    library = folder / "plugin.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", f"-I{folder}", source(folder), "-o", library], check=True, cwd=folder
    )
    assert MODEL in library.read_bytes()
    exported = subprocess.run(["nm", "-D", library], capture_output=True, text=True, check=True).stdout
    assert "tiny" not in exported


def test_for_windows(folder: Path) -> None:
    """Built, and not run."""
    prefix = "x86_64-w64-mingw32-"
    if shutil.which(f"{prefix}gcc") is None:
        pytest.skip("no MinGW")
    (folder / "main.c").write_text(MAIN)
    words = [f"{prefix}gcc", "-Wall", "-Werror", f"-I{folder}", folder / "main.c", source(folder)]
    subprocess.run([*words, "-o", folder / "main.exe"], check=True)
    assert MODEL in (folder / "main.exe").read_bytes()
    if (folder / "tiny.rc").exists():
        subprocess.run([f"{prefix}windres", "tiny.rc", "tiny.o"], check=True, cwd=folder)
        assert MODEL in (folder / "tiny.o").read_bytes()


@pytest.mark.parametrize(
    ("file", "prefix"),
    [
        ("htdemucs.ort", "htdemucs"),
        ("my-model v2.onnx", "my_model_v2"),
        ("6s.ort", "model_6s"),
        ("größe.ort", "gr__e"),
        ("音.ort", "model"),
        ("__x.ort", "x"),
    ],
)
def test_prefixes(file: str, prefix: str) -> None:
    assert embedded.prefix_of(Path(file)) == prefix


@pytest.mark.parametrize("prefix", ["", "6s", "a-b", "_x", "größe", "a\n", "../x"])
def test_prefixes_that_are_no_names_of_c(tmp_path: Path, prefix: str) -> None:
    with pytest.raises(UsageError, match="does not begin a name in C"):
        write_embedded(tmp_path / "x", MODEL, prefix)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_stays(tmp_path: Path) -> None:
    folder = tmp_path / "plugin"
    write_embedded(folder, MODEL, "tiny")
    with pytest.raises(UsageError, match="plugin exists; give --force"):
        write_embedded(folder, b"new", "tiny")
    with pytest.raises(UsageError, match="holds more than sources of other"):
        write_embedded(folder, b"new", "other", force=True)
    write_embedded(folder, b"new", "tiny", force=True)
    assert (folder / "tiny.ort").read_bytes() == b"new"
    (folder / "plugin.cpp").write_text("precious")
    with pytest.raises(UsageError, match="holds more than sources of tiny"):
        write_embedded(folder, MODEL, "tiny", force=True)
    with pytest.raises(CompilerError, match="the folder .* does not exist"):
        write_embedded(tmp_path / "absent" / "x", MODEL, "tiny")
    assert (folder / "tiny.ort").read_bytes() == b"new"


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(CompilerError, match="No space left"):
        write_embedded(tmp_path / "tiny", MODEL, "tiny")
    assert list(tmp_path.iterdir()) == []


def test_the_array_has_the_bytes() -> None:
    text = embedded.embedded(MODEL, "tiny")["tiny.c"].decode()
    numbers = re.findall(r"\d+(?=,)", text.partition("= {")[2])
    assert bytes(map(int, numbers)) == MODEL

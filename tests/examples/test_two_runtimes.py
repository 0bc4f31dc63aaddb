"""Two plug-ins in one host, each with an ONNX Runtime of its own, as docs/deployment/plugins.md tells it."""

import shutil
import subprocess
import sys
from pathlib import Path

import build_clients
import pytest
from tiny_model import TinyModel

HERE = Path(__file__).parent
SONAME = b"libonnxruntime.so.1"
HIDDEN, OPENED = "-fvisibility=hidden", "-DOPEN_RUNTIME"


@pytest.fixture
def runtime() -> Path:
    """ONNX Runtime's headers and library."""
    if sys.platform != "linux" or shutil.which("c++") is None:
        pytest.skip("Linux and a C++ compiler are needed")
    try:
        return build_clients.onnxruntime_root()
    except build_clients.Missing as reason:
        pytest.skip(str(reason))


def build(source: str, output: Path, *options: object) -> None:
    words = ["c++", "-std=c++20", "-O1", HERE / source, "-o", output, *options, "-pthread", "-ldl"]
    subprocess.run(list(map(str, words)), check=True)


def plugin(folder: Path, runtime: Path, *flags: str, renamed: bytes = SONAME) -> Path:
    """A plug-in with a copy of ONNX Runtime beside it, linked or opened by its path."""
    folder.mkdir()
    library = folder / renamed.decode()
    library.write_bytes((runtime / "lib" / "libonnxruntime.so").read_bytes().replace(SONAME, renamed))
    [header] = (runtime / "include").rglob("onnxruntime_cxx_api.h")
    how = [] if OPENED in flags else [library, "-Wl,-rpath,$ORIGIN"]
    build("plugin.cpp", folder / "plugin.so", "-shared", "-fPIC", f"-I{header.parent}", *flags, *how)
    return folder / "plugin.so"


def runtimes(tmp_path: Path, *plugins: Path, run: bool = True) -> list[str]:
    """The folder of the ONNX Runtime that each plug-in calls, after all have run a model at once, alike."""
    build("host.cpp", tmp_path / "host")
    model = TinyModel().save(tmp_path / "tiny.onnx") if run else "none"
    finished = subprocess.run(
        [tmp_path / "host", model, *plugins], capture_output=True, text=True, check=False
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    files, sums = zip(*(line.split() for line in finished.stdout.splitlines()), strict=True)
    assert len(set(sums)) == 1
    return [Path(file).parent.name for file in files]


def test_linked_under_one_name_both_get_the_first(tmp_path: Path, runtime: Path) -> None:
    one, two = (plugin(tmp_path / name, runtime, HIDDEN) for name in ("one", "two"))
    assert runtimes(tmp_path, one, two) == ["one", "one"]


@pytest.mark.parametrize(("flags", "second"), [((HIDDEN,), "two"), ((), "one")])
def test_linked_under_names_of_their_own(
    tmp_path: Path, runtime: Path, flags: tuple[str, ...], second: str
) -> None:
    """The C++ API has a pointer to the runtime, which GCC makes one in the process where it is visible."""
    one = plugin(tmp_path / "one", runtime, *flags, renamed=b"libplugin-1-rt.so.1")
    two = plugin(tmp_path / "two", runtime, *flags, renamed=b"libplugin-2-rt.so.1")
    assert runtimes(tmp_path, one, two) == ["one", second]


@pytest.mark.parametrize(("flags", "first"), [((HIDDEN,), "one"), ((), "two")])
def test_opened_by_their_paths(tmp_path: Path, runtime: Path, flags: tuple[str, ...], first: str) -> None:
    """Where it is visible, who sets the pointer last sets it for both."""
    one, two = (plugin(tmp_path / name, runtime, OPENED, *flags) for name in ("one", "two"))
    assert runtimes(tmp_path, one, two, run=bool(flags)) == [first, "two"]


def test_one_linked_and_one_opened(tmp_path: Path, runtime: Path) -> None:
    one = plugin(tmp_path / "one", runtime, HIDDEN)
    two = plugin(tmp_path / "two", runtime, HIDDEN, OPENED)
    assert runtimes(tmp_path, one, two) == ["one", "two"]

"""The C++ sources need the C++ standard, ONNX Runtime and the libraries that they name, and no more."""

import re
import shutil
import subprocess
from pathlib import Path

import build_clients
import pytest

from onnx_demucs_compiler.ort.embedded import embedded

PROGRAMS = sorted(build_clients.CPP.glob("*.cpp"))
SOURCES = [*PROGRAMS, *sorted(build_clients.CPP.glob("*.hpp"))]
ELSEWHERE = {"openvino/openvino.hpp", "model.h"}
"""OpenVINO's, and what ``onnx-demucs embed --prefix model`` writes."""

LIBRARIES = {"nlohmann/json.hpp": "nlohmann", "sndfile.hh": "sndfile.*", "kiss_fftr.h": "kissfft/*"}
"""The headers of libraries, and what to take from the folder that has them."""

MINGW = "x86_64-w64-mingw32-g++-posix"
ANNOTATIONS = ("-D_Return_type_success_(x)=", "-D_Frees_ptr_opt_=", "-D_stdcall=__stdcall")
"""Of Microsoft's compiler, which ONNX Runtime's headers use and MinGW's do not have."""


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_headers_are_portable(source: Path) -> None:
    """Those of the C++ standard have no suffix, and those of systems do."""
    text = source.read_text(encoding="utf-8")
    found = re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', text, re.MULTILINE)
    known = {*LIBRARIES, *ELSEWHERE, *(path.name for path in SOURCES)}
    assert found
    assert [name for name in found if "." in name and name not in known and "onnxruntime_" not in name] == []


@pytest.mark.parametrize(
    "program", [path for path in PROGRAMS if path.stem != "openvino"], ids=lambda path: path.name
)
def test_compiles_with_the_headers_of_windows(program: Path, tmp_path: Path) -> None:
    """Headers alone: nothing is linked, and nothing runs."""
    compiler, system = shutil.which(MINGW), Path("/usr/include")
    if compiler is None or not all(list(system.glob(pattern)) for pattern in LIBRARIES.values()):
        pytest.skip("no MinGW, or no headers of the libraries")
    for pattern in LIBRARIES.values():
        for path in system.glob(pattern):
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "model.h").write_bytes(embedded(b"model", "model")["model.h"])
    try:
        [header] = (build_clients.onnxruntime_root() / "include").rglob("onnxruntime_cxx_api.h")
    except build_clients.Missing as reason:
        pytest.skip(str(reason))
    options = ["-std=c++20", "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", *ANNOTATIONS]
    folders = [word for folder in (tmp_path, header.parent) for word in ("-isystem", str(folder))]
    finished = subprocess.run(
        [compiler, *options, *folders, str(program)], capture_output=True, text=True, check=False
    )
    assert (finished.returncode, finished.stderr) == (0, "")

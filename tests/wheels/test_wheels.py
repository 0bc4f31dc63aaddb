"""The two wheels of the tree: each file is in one, and the runtime's runs alone."""

import ast
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
import soundfile

from onnx_demucs_compiler import __version__
from onnx_demucs_compiler.checking.synthesis import synthetic_song

ROOT = Path(__file__).parents[2]
ARTIFACT = ROOT / "tests" / "fixtures" / "4c9b12d" / "artifacts" / "portable.onnx"
PACKAGES = {"onnx_demucs_compiler": ROOT, "onnx_demucs_rules": ROOT / "rules"}
NOT_THERE = "demucs huggingface_hub onnx_graphsurgeon onnx_ir onnxscript safetensors torch yaml"
"""What only the compiler needs."""

ADVICE = f"which is not installed: pip install onnx-demucs-compiler=={__version__}\n"
NEEDS = f"needs onnx-demucs-compiler, {ADVICE}"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both, by the name of their project."""
    folder = tmp_path_factory.mktemp("wheels")
    for project in (ROOT / "runtime", ROOT):
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
        subprocess.run(build, cwd=project, check=True, capture_output=True)
    return {name: found for name in ("runtime", "compiler") for found in folder.glob(f"onnx_demucs_{name}-*")}


@pytest.fixture
def alone(wheels: dict[str, Path], tmp_path: Path) -> Path:
    """A folder with the runtime's wheel."""
    return unpacked(wheels["runtime"], tmp_path / "alone")


@pytest.fixture
def run(alone: Path, tmp_path: Path) -> Run:
    """Run the program of that folder, without what only the compiler needs."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return python(alone, MAIN, *arguments, without=NOT_THERE, cwd=tmp_path)

    return run


MAIN = "from onnx_demucs_compiler.__main__ import main; main(sys.argv[1:])"


def python(
    folder: Path, code: str, *arguments: object, without: str = "", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run code with the packages of a folder first on the path."""
    begin = f"import sys; sys.path.insert(0, {str(folder)!r}); "
    begin += f"sys.modules |= dict.fromkeys({without.split()!r}); "
    command = [sys.executable, "-c", begin + code, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd or folder, capture_output=True, text=True)


def unpacked(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def files(wheel: Path) -> set[str]:
    """What it puts into the packages."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if name.partition("/")[0] in PACKAGES}


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_bytes(archive.read(name))


def modules(wheel: Path) -> dict[str, str]:
    """Its files of Python by their dotted names."""
    python_files = [name for name in files(wheel) if name.endswith(".py")]
    return {
        name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): name for name in python_files
    }


def test_every_file_is_in_one_wheel(wheels: dict[str, Path]) -> None:
    tree = {
        path.relative_to(base).as_posix()
        for package, base in PACKAGES.items()
        for path in (base / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    runtime, compiler = files(wheels["runtime"]), files(wheels["compiler"])
    assert runtime & compiler == set()
    assert runtime | compiler == tree


def test_the_wheels_go_together(wheels: dict[str, Path]) -> None:
    runtime, compiler = metadata(wheels["runtime"]), metadata(wheels["compiler"])
    assert runtime["Version"] == compiler["Version"] == __version__
    ours = [text for text in compiler.get_all("Requires-Dist", []) if text.startswith("onnx-demucs-runtime")]
    assert ours == [
        f"onnx-demucs-runtime=={__version__}",
        f"onnx-demucs-runtime[media]=={__version__}; extra == 'media'",
        f"onnx-demucs-runtime[openvino]=={__version__}; extra == 'openvino'",
        f"onnx-demucs-runtime[ray]=={__version__}; extra == 'ray'",
    ]
    assert (ROOT / "LICENSE").read_bytes() == (ROOT / "runtime" / "LICENSE").read_bytes()


def test_everything_in_the_runtime_can_be_imported(wheels: dict[str, Path], alone: Path) -> None:
    ended = python(alone, f"import {', '.join(sorted(modules(wheels['runtime'])))}", without=NOT_THERE)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_few_files_of_the_runtime_ask_for_the_compiler(wheels: dict[str, Path]) -> None:
    """Inside their functions, behind ``check_compiler``."""
    others = set(modules(wheels["compiler"]))
    asking = {name for name in modules(wheels["runtime"]).values() if imported_when_run(ROOT / name) & others}
    assert asking == {"onnx_demucs_compiler/cli/verify.py"}


def imported_when_run(file: Path) -> set[str]:
    """What a file imports, but for the type checker."""
    found = set()
    todo: list[ast.AST] = [ast.parse(file.read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            todo += ast.iter_child_nodes(node)
    return found


def test_the_runtime_separates(run: Run, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", synthetic_song(12000, 8000).T, 8000)
    ended = run("separate", ARTIFACT, tmp_path / "song.wav", "-o", tmp_path / "out")
    assert (ended.returncode, ended.stderr) == (0, "")
    stems = {path.stem for path in tmp_path.rglob("out/**/*.wav")}
    assert stems == {"bass", "drums", "vocals"}


def test_the_runtime_looks_at_files(run: Run, tmp_path: Path) -> None:
    told = json.loads(run("info", ARTIFACT, "--json").stdout)
    assert told["contracts"]["official"] is True
    told = json.loads(run("verify", ARTIFACT, "--contract", "official", "--json").stdout)
    assert told["contracts"] == [{"contract": "official", "kept": True, "findings": []}]
    ended = run("ops-config", ARTIFACT, "-o", tmp_path / "ops.config")
    assert (ended.returncode, ended.stderr) == (0, "")
    ended = run("verify", ARTIFACT, "--contract", "official", "--ops-config", tmp_path / "ops.config")
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["compile", "htdemucs", "-o", "x.onnx"], "compile"),
        (["compile", "--help"], "compile"),
        (["rules"], "rules"),
        (["verify", ARTIFACT], "verify against the model"),
        (["verify", ARTIFACT, "--model", "x.th", "--contract", "official"], "verify against the model"),
    ],
)
def test_the_runtime_says_what_to_install(run: Run, arguments: list[object], what: str) -> None:
    ended = run(*arguments)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", f"error: {what} {NEEDS}")


def test_the_page_on_installing_shows_that_line() -> None:
    assert f"\nerror: compile {NEEDS}" in (ROOT / "docs" / "installing.md").read_text(encoding="utf-8")


def test_the_help_of_the_runtime_says_what_is_not_there(run: Run) -> None:
    ended = run("--help")
    assert ended.returncode == 0
    assert ended.stdout.count("Needs onnx-demucs-compiler, which is not installed.") == 2
    assert run("--version").stdout == f"onnx-demucs {__version__}\n"


@pytest.mark.parametrize("name", ["compile", "default"])
def test_a_name_of_the_compiler_cannot_be_imported(alone: Path, name: str) -> None:
    code = f"""
try:
    from onnx_demucs_compiler import {name}
except ImportError as error:
    print(error)"""
    assert python(alone, code, without=NOT_THERE).stdout == f"{name} {NEEDS}"


def test_a_compiler_without_pytorch(wheels: dict[str, Path], alone: Path) -> None:
    unpacked(wheels["compiler"], alone)
    ended = python(alone, MAIN, "rules", without="torch")
    assert (ended.returncode, ended.stderr) == (1, f"error: rules needs PyTorch, {ADVICE}")


def test_wheels_that_do_not_go_together(wheels: dict[str, Path], alone: Path) -> None:
    unpacked(wheels["compiler"], alone)
    [record] = alone.glob("onnx_demucs_compiler-*.dist-info/METADATA")
    text = record.read_text(encoding="utf-8")
    record.write_text(text.replace(f"Version: {__version__}", "Version: 0.0.9"), encoding="utf-8")
    ended = python(alone, MAIN, "rules")
    assert (ended.returncode, ended.stderr) == (
        1,
        "error: rules needs onnx-demucs-compiler and onnx-demucs-runtime in one version, and 0.0.9 and "
        f"{__version__} are installed: pip install onnx-demucs-compiler=={__version__}\n",
    )
    assert python(alone, MAIN, "info", ARTIFACT).returncode == 0

"""The runtime's wheel in an empty environment: megabytes, and seconds to stems.

Usage: ``python benchmarks/runtime_alone.py``. It needs a package index, installs the versions of
``constraints.txt``, separates a synthetic song of 20 s with a small model, and holds the two wheels together:
without the compiler ``compile`` says what to install, and over the runtime the compiler's wheel imports. Pip
fetches what it has not in its cache, and compiles to bytecode; both count.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "tests" / "fixtures" / "4c9b12d" / "artifacts" / "portable.onnx"
ABSENT = ("torch", "demucs")
LARGEST = 6


def main() -> None:
    """Build, install and run, and print the figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = environment(folder / "venv")
        runtime, compiler = (wheel(python, project, folder) for project in (ROOT / "runtime", ROOT))
        before = sizes(python)
        began = perf_counter()
        pip(python, "install", "-c", ROOT / "constraints.txt", runtime)
        installed = perf_counter()
        after = sizes(python)
        separate(python, folder)
        separated = perf_counter()
        check_alone(python, folder)
        pip(python, "install", "--no-deps", compiler)
        run(python, "-c", "import onnx_demucs_compiler.options, onnx_demucs_rules", cwd=folder)
    brought = {part: size - before.get(part, 0) for part, size in after.items()}
    largest = sorted(brought, key=lambda part: -brought[part])[:LARGEST]
    print(f"{runtime.name}: {sum(brought.values()) / 1e6:.0f} MB installed")
    print(", ".join(f"{part} {brought[part] / 1e6:.0f} MB" for part in largest))
    print(f"pip install: {installed - began:.1f} s; separate, a song of 20 s: {separated - installed:.1f} s")


def environment(folder: Path) -> Path:
    """The Python of an empty environment."""
    venv.create(folder, with_pip=True)
    [python] = [path for path in folder.glob("*/python*") if path.stem == "python"]
    return python


def wheel(python: Path, project: Path, folder: Path) -> Path:
    """The wheel of a project."""
    into = folder / project.name
    pip(python, "wheel", "--no-deps", "--wheel-dir", into, project)
    [built] = into.iterdir()
    return built


def sizes(python: Path) -> dict[str, int]:
    """The bytes of each package and library in an environment."""
    told = run(python, "-c", "import sysconfig; print(sysconfig.get_path('platlib'))", cwd=ROOT)
    packages = Path(told.stdout.strip())
    found: dict[str, int] = {}
    for path in packages.rglob("*"):
        if path.is_file():
            part = path.relative_to(packages).parts[0]
            found[part] = found.get(part, 0) + path.stat().st_size
    return found


def separate(python: Path, folder: Path) -> None:
    """Separate a song, with the packages of the wheel."""
    song = folder / "song.wav"
    run(python, "-m", "onnx_demucs_compiler.checking.synthesis", song, "20", cwd=folder)
    program(python, "separate", MODEL, song, "-o", folder / "stems", cwd=folder)


def check_alone(python: Path, folder: Path) -> None:
    """Check that PyTorch is absent and ``compile`` says what to install.

    Raises:
        SystemExit: there is, or it does not.
    """
    code = f"from importlib.util import find_spec; print(*filter(find_spec, {ABSENT!r}))"
    if found := run(python, "-c", code, cwd=folder).stdout.strip():
        sys.exit(f"the runtime brings {found}")
    ended = program(python, "compile", "htdemucs", cwd=folder, check=False)
    told = ended.stderr.splitlines()
    if ended.returncode != 1 or len(told) != 1 or "pip install onnx-demucs-compiler" not in told[0]:
        sys.exit(f"compile without the compiler ends with {ended.returncode}: {ended.stderr}")
    print(told[0])


def program(
    python: Path, *arguments: object, cwd: Path, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run the ``onnx-demucs`` of an environment."""
    return run(python.with_name("onnx-demucs"), *arguments, cwd=cwd, check=check)


def pip(python: Path, *arguments: object) -> None:
    """Run an environment's pip."""
    run(python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments, cwd=ROOT)


def run(*command: object, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program, and show its errors if it fails.

    Raises:
        SystemExit: it fails, and ``check`` is set.
    """
    ended = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True)
    if check and ended.returncode:
        sys.exit(f"{' '.join(map(str, command))}:\n{ended.stderr}")
    return ended


if __name__ == "__main__":
    main()

"""An environment for each engine, in build/engines/ENGINE: ``install.py [ENGINE[==VERSION] ...]``.

The versions are those that the adapters were written for, unless others are given. An environment that is
there already is used again. ``verify --engine`` finds them by ONNX_DEMUCS_ENGINES=build/engines.
"""

from __future__ import annotations

import re
import subprocess
import sys
import venv
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from onnx_demucs_compiler.engines import ENGINES

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = Path(__file__).resolve().parents[2] / "build" / "engines"


def main() -> None:
    """Install the engines named, or all."""
    for wanted in sys.argv[1:] or ENGINES:
        name, _, version = wanted.partition("==")
        began = perf_counter()
        install(name, version)
        size = sum(path.stat().st_size for path in (FOLDER / name).rglob("*") if path.is_file())
        print(f"{name}: {size / 1e6:.0f} MB, {perf_counter() - began:.0f} s", flush=True)


def install(name: str, version: str = "") -> Path:
    """Install an engine, and return its Python."""
    requirements = ENGINES[name].requirements
    if version:
        requirements = tuple(re.sub("==.*", f"=={version}", requirement) for requirement in requirements)
    return environment(FOLDER / name, requirements)


def environment(folder: Path, requirements: Sequence[str]) -> Path:
    """The Python of a virtual environment with what ``pip install`` takes."""
    if not folder.exists():
        venv.create(folder, with_pip=True)
    [program] = [path for path in folder.glob("*/python*") if path.stem == "python"]
    subprocess.run([program, "-m", "pip", "install", "--quiet", *requirements], check=True)
    return program


if __name__ == "__main__":
    main()

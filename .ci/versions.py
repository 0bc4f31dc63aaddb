"""Run the tests with other versions than ``constraints.txt`` has, in an environment of its own.

Usage: ``python .ci/versions.py lowest|newest|3.12``, in the ``.venv`` of ``make install``.

- ``lowest``: every ``>=`` of the two pyproject.toml as ``==``, on the oldest Python that is supported; the
  tests of ``make test``.
- ``newest``: what the package index has today, and the same tests.
- ``3.12``: that Python, where there is one on PATH or in pyenv, with the pinned versions of what the runtime
  needs; PyTorch is not built for every Python. The tests of :data:`RUNTIME`.

PyTorch stays the pinned one, because an unpinned one can bring gigabytes of CUDA.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT, RUNTIME_PROJECT = (
    tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for folder in (ROOT, ROOT / "runtime")
)
PINNED = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
OWN_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
SMALL = ["-m", "not full_size and not thorough"]
TEST_PACKAGES = {"av", "hypothesis", "lameenc", "pytest", "pytest-xdist"}

RUNTIME = (
    "tests/contracts",
    "tests/fixtures",
    "tests/robustness/test_audio.py",
    "tests/runtime/test_channels.py",
    "tests/runtime/test_cores.py",
    "tests/runtime/test_devices.py",
    "tests/runtime/test_eight_bits.py",
    "tests/runtime/test_fades.py",
    "tests/runtime/test_golden_vectors.py",
    "tests/runtime/test_many_songs.py",
    "tests/runtime/test_media.py",
    "tests/runtime/test_openvino.py",
    "tests/runtime/test_separate_command.py",
    "tests/runtime/test_separate_process.py",
    "tests/runtime/test_separation_files.py",
    "tests/runtime/test_session.py",
    "tests/runtime/test_stem_formats.py",
    "tests/web/test_web_command.py",
)
"""What runs without PyTorch, but for tests marked ``torch``; none of it skips for want of a package."""


def requirements() -> list[Requirement]:
    """Everything that ``./runtime`` and ``.[dev]`` install of others."""
    development = PROJECT["optional-dependencies"]["dev"]
    listed = map(Requirement, RUNTIME_PROJECT["dependencies"] + PROJECT["dependencies"] + development)
    return [requirement for requirement in listed if requirement.name != RUNTIME_PROJECT["name"]]


def lowest_versions() -> list[str]:
    """Constraints that leave of every open range its lower end."""
    return [
        f"{requirement.name}=={specifier.version}"
        for requirement in requirements()
        for specifier in requirement.specifier
        if specifier.operator == ">="
    ]


def without_torch() -> list[str]:
    """What the runtime and its tests need."""
    needed = {Requirement(text).name for text in RUNTIME_PROJECT["dependencies"]} | TEST_PACKAGES
    return [str(each) for each in requirements() if each.name in needed]


def interpreter(version: str) -> str | None:
    """A Python of a version ``3.x`` that makes environments, on PATH or in pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    tell = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
    for candidate in (shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"))):
        if candidate:
            told = subprocess.run([candidate, "-c", tell], capture_output=True, text=True)
            if told.stdout.strip() == version:
                return str(candidate)
    return None


def run_tests(python: str, constraints: list[str], packages: list[str], options: list[str]) -> int:
    """Make an environment, install, and run pytest; its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        own = str(Path(folder, "bin", "python"))
        pins = Path(folder, "constraints.txt")
        pins.write_text("\n".join(constraints), encoding="utf-8")
        install = [own, "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, "-c", pins, *packages], check=True)
        subprocess.run([*install, "--no-deps", "-e", ROOT / "runtime", "-e", ROOT], check=True)
        subprocess.run([own, "-m", "pip", "freeze", "--exclude-editable"], check=True)
        tests = [own, "-m", "pytest", "-p", "no:cacheprovider", "-n", "2", "--dist", "worksteal", *options]
        return subprocess.run(tests, cwd=ROOT).returncode


def main(which: str) -> int:
    """Run one of the three kinds, or say why not; the exit code."""
    everything = [str(requirement) for requirement in requirements()]
    if which == "lowest":
        if PROJECT["requires-python"] != f">={OWN_PYTHON}":
            return skip(f"this is Python {OWN_PYTHON}, and the oldest is {PROJECT['requires-python']}")
        return run_tests(sys.executable, lowest_versions(), everything, SMALL)
    if which == "newest":
        torch = [pin for pin in PINNED if pin.startswith("torch==")]
        return run_tests(sys.executable, torch, everything, SMALL)
    python = interpreter(which)
    if python is None:
        return skip(f"no Python {which} on PATH or in pyenv")
    return run_tests(python, PINNED, without_torch(), ["-m", "not torch", *RUNTIME])


def skip(reason: str) -> int:
    """Say why nothing runs; the exit code of that."""
    print(f"skipped: {reason}")
    return 0


if __name__ == "__main__":
    [_, which] = sys.argv
    sys.exit(main(which))

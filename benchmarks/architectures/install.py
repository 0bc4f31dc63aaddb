"""Environments for the architectures, in build/architectures: ``install.py [PACKAGE ...]``, or all.

Packages share the environment ``common``; one that clashes with others has its own. Each environment sees
the packages of this one, the pinned PyTorch among them, which no installation replaces.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from entries import PACKAGES

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "architectures"
COMMON = "common"


def main() -> None:
    """Install the packages named, or all."""
    for name in sys.argv[1:] or PACKAGES:
        if name not in PACKAGES:
            sys.exit(f"{name} is not in the catalogue; it has {', '.join(PACKAGES)}")
        print(f"{name} {PACKAGES[name].version}: {install(name)}", flush=True)


def install(name: str) -> Path:
    """Install a package with what it requires, and return its Python."""
    package = PACKAGES[name]
    program = environment(name)
    site = _site_packages(program)
    shared = (ROOT, ROOT / "rules", *(path for path in sys.path if path.endswith("site-packages")))
    (site / "shared.pth").write_text("\n".join(map(str, shared)), encoding="utf-8")
    wanted = [f"{name}=={package.version}", *package.requires]
    subprocess.run([program, "-m", "pip", "install", "--quiet", "--no-deps", *wanted], check=True)
    for each in {name, *(one.partition("==")[0] for one in package.requires)} & PACKAGES.keys():
        for path in PACKAGES[each].removed:
            shutil.rmtree(site / path, ignore_errors=True)
    return program


def environment(name: str) -> Path:
    """The Python of a package's environment, made where it is missing."""
    folder = FOLDER / (name if PACKAGES[name].alone else COMMON)
    if not folder.exists():
        venv.create(folder, with_pip=True)
    [program] = [path for path in folder.glob("*/python*") if path.stem == "python"]
    return program


def _site_packages(program: Path) -> Path:
    folder = program.parents[1]
    scheme = sysconfig.get_preferred_scheme("prefix")
    scheme = "venv" if "venv" in sysconfig.get_scheme_names() else scheme
    return Path(sysconfig.get_path("purelib", scheme, {"base": str(folder)}))


if __name__ == "__main__":
    main()

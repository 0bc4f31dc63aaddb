"""Environments for the tests of catalogues: Ray in build/ray, moto in build/moto.

Moto is a store that speaks S3. The first sees the packages of this one and has Ray beside them. The second
stands alone, without the pinned versions: botocore takes an older python-dateutil than they have.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STORE = ("moto[s3]==5.2.5", "flask==3.1.*", "flask-cors==6.*")


def main() -> None:
    """Install both."""
    program = _environment(ROOT / "build" / "ray")
    tell = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = subprocess.run([program, "-c", tell], capture_output=True, text=True, check=True).stdout.strip()
    shared = (ROOT, ROOT / "rules", *(path for path in sys.path if path.endswith("site-packages")))
    Path(own, "shared.pth").write_text("\n".join(map(str, shared)), encoding="utf-8")
    _install(program, "-c", str(ROOT / "constraints.txt"), "ray[data]")
    _install(_environment(ROOT / "build" / "moto"), *STORE)


def _environment(folder: Path) -> Path:
    """The Python of a virtual environment, made where it is missing."""
    if not folder.exists():
        venv.create(folder, with_pip=True)
    [program] = [path for path in folder.glob("*/python*") if path.stem == "python"]
    return program


def _install(program: Path, *wanted: str) -> None:
    subprocess.run([program, "-m", "pip", "install", "--quiet", *wanted], check=True)


if __name__ == "__main__":
    main()

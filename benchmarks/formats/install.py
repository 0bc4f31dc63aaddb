"""An environment for each extra that emits a format, in build/formats/EXTRA: ``install.py [EXTRA ...]``.

Each sees the packages of this one, the pinned PyTorch among them, and has the extra's tools beside them;
``make formats`` runs the tests of the format in it. The emitters were written for these versions.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "formats"

TOOLS = {
    "litert": (
        *("litert-torch==0.10.0", "litert-converter==0.5.0", "ai-edge-litert==2.3.0", "xdsl==0.28.0"),
        *("ai-edge-quantizer==0.10.*", "immutabledict", "backports.strenum", "jax==0.10.2", "jaxlib==0.10.2"),
        *(
            "opt_einsum",
            "jaxtyping",
            "wadler-lindig",
            "torchao==0.18.0",
            "scipy",
            "absl-py",
            "multipledispatch",
        ),
        *("tabulate", "fire", "termcolor"),
    ),
    "executorch": ("executorch==1.5.1",),
    "coreml": ("coremltools==9.0",),
}
"""The tools. Those of litert are all that its converter imports: litert-torch asks for language models too,
and xdsl for an older typing_extensions than pydantic takes."""

ALONE = {"litert"}
"""The extras whose list is complete."""


def main() -> None:
    """Install the tools of the extras named, or of all."""
    for extra in sys.argv[1:] or TOOLS:
        began = perf_counter()
        folder = install(extra)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        print(f"{extra}: {size / 1e6:.0f} MB, {perf_counter() - began:.0f} s", flush=True)


def install(extra: str) -> Path:
    """Install the tools of an extra, and return their environment."""
    folder = FOLDER / extra
    if not folder.exists():
        venv.create(folder, with_pip=True)
    [program] = [path for path in folder.glob("*/python*") if path.stem == "python"]
    own = subprocess.run(
        [program, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    shared = (ROOT, ROOT / "rules", sysconfig.get_path("purelib"))
    Path(own.stdout.strip(), "shared.pth").write_text("\n".join(map(str, shared)), encoding="utf-8")
    how = ["--no-deps"] if extra in ALONE else ["-c", str(ROOT / "constraints.txt")]
    subprocess.run([program, "-m", "pip", "install", "--quiet", *how, *TOOLS[extra]], check=True)
    return folder


if __name__ == "__main__":
    main()

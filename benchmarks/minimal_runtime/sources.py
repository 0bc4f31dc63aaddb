"""ONNX Runtime's sources and those of its dependencies, ready to build."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
from dataclasses import dataclass
from typing import TYPE_CHECKING

from debian import ARCHIVES, Debian

if TYPE_CHECKING:
    from pathlib import Path

BUILD_TOOLS = ("cmake>=3.28,<4", "ninja", "flatbuffers")
"""From PyPI: ONNX Runtime needs a newer CMake than Debian bookworm has."""


@dataclass(frozen=True)
class Sources:
    """The locations of sources and tools.

    Attributes:
        folder: of all unpacked archives.
        sysroot: what headers and tools were unpacked under.
        tools: the environment with CMake and Ninja.
        empty: an empty folder.
    """

    folder: Path
    sysroot: Path
    tools: Path
    empty: Path

    def of(self, project: str) -> Path:
        """The folder of one project's sources."""
        (found,) = self.folder.glob(f"{project}-[0-9]*")
        return found

    @property
    def onnxruntime(self) -> Path:
        """ONNX Runtime's own sources."""
        return self.of("onnxruntime")

    @property
    def libraries(self) -> Path:
        """The libraries that the unpacked tools need."""
        return next(self.sysroot.glob("usr/lib/*-linux-gnu"))


def prepared(work: Path) -> Sources:
    """Fetch, unpack and patch what ``work`` lacks."""
    sources = Sources(work / "src", work / "sysroot", work / "tools", work / "empty")
    complete = work / "sources.complete"
    if complete.exists():
        return sources
    debian = Debian(work / "apt")
    debian.download_archives(work / "archives")
    debian.unpack_packages(work / "packages", sources.sysroot)
    sources.folder.mkdir(exist_ok=True)
    sources.empty.mkdir(exist_ok=True)
    for name in ARCHIVES:
        subprocess.run(["tar", "-xf", work / "archives" / name, "-C", sources.folder], check=True)
    _patch(sources)
    venv.create(sources.tools, with_pip=True)
    python = sources.tools / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", *BUILD_TOOLS], check=True, stdout=sys.stderr)
    complete.touch()
    return sources


def _patch(sources: Sources) -> None:
    """Apply ONNX Runtime's patches to its dependencies.

    CMake skips them where it is given sources.

    The calls of Eigen with ``PropagateNaN`` need a later Eigen than the release that Debian has; Debian's own
    patch replaces them in the same way.
    """
    for patch in ("protobuf/protobuf_cmake", "flatbuffers/flatbuffers", "onnx/onnx"):
        lines = (sources.onnxruntime / "cmake" / "patches" / f"{patch}.patch").read_bytes()
        subprocess.run(
            ["patch", "-p1", "--ignore-whitespace", "--quiet"],
            input=lines.replace(b"\r", b""), cwd=sources.of(patch.partition("/")[0]), check=True,
        )  # fmt: skip
    kernels = sources.onnxruntime / "onnxruntime/core/providers/cpu/math/element_wise_ops.cc"
    plain = re.sub(r"\.template (min|max)<Eigen::PropagateNaN>\(", r".\1(", kernels.read_text())
    kernels.write_text(plain)

"""The command lines of this tree and another commit, with equal packages."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """The tree of another commit, in a temporary folder."""
    git = ["git", "-C", str(ROOT), "worktree"]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        subprocess.run([*git, "add", "--quiet", "--detach", tree, commit], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", tree], check=True)


def compile_by(tree: Path, output: Path, options: Sequence[str]) -> None:
    """Run ``onnx-demucs compile`` of a tree in a process of its own."""
    paths = os.pathsep.join(map(str, (tree, tree / "rules")))
    command = [sys.executable, "-m", "onnx_demucs_compiler", "compile", *options, "--force", "--quiet"]
    environment = os.environ | {"PYTHONPATH": paths}
    subprocess.run([*command, "-o", output], cwd=output.parent, env=environment, check=True)

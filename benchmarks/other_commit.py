"""This tree against another commit, with equal packages."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent
MODEL = "untrained:htdemucs"


def parsed(description: str | None, times: str, default: int) -> argparse.Namespace:
    """The arguments of a comparison.

    Args:
        description: of the script.
        times: the option that says how often to measure, ``rounds`` or ``pairs``.
        default: of that option.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--against", default="4c9b12d", metavar="COMMIT")
    parser.add_argument(f"--{times}", type=int, default=default)
    parser.add_argument("--json", type=Path)
    parser.add_argument("options", nargs="*", metavar="OPTION")
    return parser.parse_args()


def hand_over(results: dict[str, Any], file: Path | None) -> None:
    """Print results, and write them to a file if there is one."""
    print(json.dumps(results))
    if file:
        file.write_text(json.dumps(results, indent=2) + "\n")


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

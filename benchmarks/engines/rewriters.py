"""Tools that rewrite a file: ``rewriters.py TOOL IN OUT FEEDS``.

FEEDS is an ``.npz``; static quantisers run the file on each of its arrays to see what values there are.
:func:`rewritten` runs this program, which imports nothing but the tool and what that brings.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

if TYPE_CHECKING:
    from pathlib import Path

REQUIREMENTS = {
    "quantize_dynamic": ("onnxruntime==1.31.1", "onnx"),
    "quantize_static": ("onnxruntime==1.31.1", "onnx"),
    "nncf": ("nncf==3.4.0", "onnxruntime==1.31.1", "onnx"),
    "onnxsim": ("onnxsim==0.8.1",),
    "onnxslim": ("onnxslim==0.1.98",),
    "onnxoptimizer": ("onnxoptimizer==0.4.2",),
}
"""What ``pip install`` takes; the first is the tool's own package."""


def rewritten(python: Path, tool: str, source: Path, target: Path, feeds: Path) -> str | None:
    """Have a tool rewrite a file; return its complaint if it refuses.

    Args:
        python: of an environment that has the tool.
        tool: of :data:`REQUIREMENTS`.
        source: the ``.onnx`` file.
        target: what is written.
        feeds: the ``.npz`` file.
    """
    target.unlink(missing_ok=True)
    command = [python, __file__, tool, source, target, feeds]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0 and target.exists():
        return None
    *_, last = (done.stderr or done.stdout).strip().splitlines() or [f"it ends with {done.returncode}"]
    return last[:300]


def version(python: Path, tool: str) -> str:
    """The version of a tool in an environment."""
    package = REQUIREMENTS[tool][0].partition("==")[0]
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def quantize_dynamic(source: str, target: str, _: list[Any]) -> None:
    """Weights in eight bits, and activations by their range in each run."""
    from onnxruntime import quantization

    quantization.quantize_dynamic(source, target)


def quantize_static(source: str, target: str, feeds: list[Any]) -> None:
    """Weights and activations in eight bits, by ranges that were seen."""
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        """The feeds, one at a time."""

        def __init__(self) -> None:
            self._left = iter(feeds)

        def get_next(self) -> dict[str, Any] | None:
            return next(self._left, None)

    quantization.quantize_static(source, target, Reader())


def nncf(source: str, target: str, feeds: list[Any]) -> None:
    """Weights and activations in eight bits."""
    import nncf as tool

    onnx.save(tool.quantize(onnx.load(source), tool.Dataset(feeds)), target)


def onnxsim(source: str, target: str, _: list[Any]) -> None:
    """Constants folded, operators joined."""
    from onnxsim import simplify

    onnx.save(simplify(onnx.load(source))[0], target)


def onnxslim(source: str, target: str, _: list[Any]) -> None:
    """Constants folded, operators joined."""
    from onnxslim import slim

    slim(source, target)


def onnxoptimizer(source: str, target: str, _: list[Any]) -> None:
    """Operators joined."""
    from onnxoptimizer import optimize

    onnx.save(optimize(onnx.load(source)), target)


if __name__ == "__main__":
    name, source, target, path = sys.argv[1:]
    with np.load(path) as file:
        port = onnx.load(source).graph.input[0].name
        globals()[name](source, target, [{port: array} for array in file.values()])

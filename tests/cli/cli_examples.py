"""Running the command line, and models to run it on.

Branching is at the top level of a module, so that a checkpoint of it can be unpickled.
"""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from demucs.demucs import Demucs
from torch import Tensor, nn
from typer.testing import CliRunner, Result

from onnx_demucs_compiler.cli import app

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


TWO_STEMS = {"sources": ["speech", "noise"], "channels": 4, "growth": 1, "depth": 1, "kernel_size": 3,
             "stride": 1, "rewrite": False, "lstm_layers": 0, "dconv_mode": 0, "norm_starts": 1,
             "normalize": False, "resample": False, "samplerate": 8000, "segment": 0.1}  # fmt: skip
"""A time-domain Demucs of two convolutions, which compiles in about two seconds."""


class Branching(Demucs):
    """A class of one's own. It looks at its data, which no tracer can follow."""

    def forward(self, mix: Tensor) -> Tensor:
        return super().forward(mix if mix.mean() > 0 else 2 * mix)


def write_checkpoint(path: Path, module: nn.Module, *args: Any, **kwargs: Any) -> Path:
    """Write a checkpoint as ``demucs.states.serialize_model`` lays it out."""
    package = {
        "klass": type(module),
        "args": args,
        "kwargs": kwargs,
        "state": module.state_dict(),
        "training_args": {},
    }
    buffer = io.BytesIO()
    torch.save(package, buffer)
    path.write_bytes(buffer.getvalue())
    return path


def write_two_stems(path: Path, seed: int = 0) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return write_checkpoint(path, Demucs(**TWO_STEMS), **TWO_STEMS)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def succeeds(result: Result) -> str:
    """What was printed."""
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


def fails_cleanly(result: Result, exit_code: int, *parts: str) -> None:
    """One line on stderr and nothing on stdout."""
    assert result.exit_code == exit_code, result.output
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith("error: ")
    for part in parts:
        assert part in line


def strict_json(text: str) -> Any:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def start(*arguments: object, code: str = "from onnx_demucs_compiler.__main__ import main; main()",
          cwd: Path = ROOT) -> subprocess.Popen[str]:  # fmt: skip
    """The command in a process of its own."""
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "rules", HERE)))
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

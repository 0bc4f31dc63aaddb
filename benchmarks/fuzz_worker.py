"""A process that runs commands for :mod:`fuzz`, and may crash.

A line of JSON comes in, ``{"folder": …, "arguments": […]}``, and one goes out: exit code, what was printed to
each stream, what native libraries wrote past Python, and the traceback if there was one. ``read SONG RATE``
is no command of the command line: it reads a song as the commands do, and keeps what it heard.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

GIB = 2**30
ADDRESS_SPACE = 12 * GIB
"""More than torch maps by itself, and less than would wake the kernel's killer."""
HEARD = "heard.npy"
"""The samples that ``read`` read, float32 ``[2, n]``."""


def main() -> None:
    """Answer until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    answers = os.fdopen(os.dup(1), "w")
    noise = tempfile.TemporaryFile()  # noqa: SIM115 - for the life of the process
    for stream in (1, 2):
        os.dup2(noise.fileno(), stream)
    for line in sys.stdin:
        job = json.loads(line)
        os.chdir(job["folder"])
        noise.seek(0)
        noise.truncate()
        command = job["arguments"]
        answer = read(*command[1:]) if command[0] == "read" else run(command)
        sys.stderr.flush()
        noise.seek(0)
        answer["noise"] = noise.read(4000).decode(errors="replace")
        print(json.dumps(answer), file=answers, flush=True)


def run(arguments: list[str]) -> dict[str, Any]:
    """One command, as the command line runs it."""
    from typer.testing import CliRunner

    from onnx_demucs_compiler.cli import app

    result = CliRunner().invoke(app, arguments, prog_name="onnx-demucs")
    bug = result.exception is not None and not isinstance(result.exception, SystemExit)
    lines = traceback.format_exception(*result.exc_info) if bug and result.exc_info else []
    return {"exit_code": result.exit_code, "stdout": result.stdout[-4000:], "stderr": result.stderr[-4000:],
            "traceback": "".join(lines)[-6000:]}  # fmt: skip


def read(song: str, rate: str) -> dict[str, Any]:
    """Read a whole song in two channels, and keep it in :data:`HEARD`."""
    import numpy as np

    from onnx_demucs_compiler.errors import CompilerError
    from onnx_demucs_compiler.runtime.audio import check_song, read_blocks

    code, lines, bug = 0, [], ""
    try:
        lines = [f"warning: {warning}" for warning in check_song(Path(song), 2)]
        np.save(HEARD, np.concatenate(list(read_blocks(Path(song), int(rate), 2)), axis=1))
    except CompilerError as error:
        code, lines = error.exit_code, [*lines, f"error: {error}"]
    except Exception:  # noqa: BLE001 - the one thing that is looked for
        code, bug = 1, traceback.format_exc()
    return {"exit_code": code, "stdout": "", "stderr": "\n".join(lines), "noise": "", "traceback": bug}


if __name__ == "__main__":
    main()

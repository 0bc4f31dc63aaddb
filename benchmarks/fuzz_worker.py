"""Runs commands one after another for :mod:`fuzz`, in a process that may crash or run out of memory.

A line of JSON comes in, ``{"folder": …, "arguments": […]}``, and one goes out: exit code, what was printed to
each stream, what native libraries wrote past Python, and the traceback if there was one.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import traceback
from typing import Any

GIB = 2**30
ADDRESS_SPACE = 12 * GIB
"""More than torch maps by itself, and less than would wake the kernel's killer."""


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
        answer = run(job["arguments"])
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


if __name__ == "__main__":
    main()

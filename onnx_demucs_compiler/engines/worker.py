"""The inside of an engine's process.

It opens one file, and runs it for every line that comes in.
Answers are lines of JSON on what was standard output; whatever the engine prints goes to standard error.
Arrays travel as files in a folder that both sides know.
"""

from __future__ import annotations

import json
import os
import re
import sys
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from onnx_demucs_compiler.engines.engine import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from onnx_demucs_compiler.engines.engine import Engine

TASK, FEEDS, OUTPUTS, CONVERTED = "task.json", "feeds.npz", "outputs.npz", "converted"
MESSAGE = 300
STATUS = Path("/proc/self/status")

Result = TypeVar("Result")


def serve(engine: Engine, folder: Path) -> None:
    """Answer for the task in a folder until standard input ends."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        for facts in _answers(engine, folder):
            answers.write(json.dumps(facts) + "\n")
            answers.flush()


def _answers(engine: Engine, folder: Path) -> Iterator[dict[str, Any]]:
    version = engine.installed_version()
    if version is None:
        yield {"missing": True}
        return
    yield {"version": version}
    try:
        run, cost = _measured(partial(engine.open, _task(folder)))
        yield cost
        for _ in sys.stdin:
            with np.load(folder / FEEDS) as file:
                feeds = dict(file)
            outputs, cost = _measured(partial(run, feeds))
            np.savez(folder / OUTPUTS, *outputs)
            yield cost
    except Exception as error:  # noqa: BLE001 - engines' errors share no narrower base
        yield {"error": _told(error)}


def _told(error: Exception) -> str:
    """The beginning of an error in one line, without a backtrace."""
    told, *_ = re.split("stack backtrace", str(error), flags=re.IGNORECASE)
    return " ".join(told.split())[:MESSAGE] or type(error).__name__


def _task(folder: Path) -> Task:
    facts = json.loads((folder / TASK).read_text(encoding="utf-8"))
    shapes = {name: tuple(shape) for name, shape in facts["shapes"].items()}
    return Task(Path(facts["model"]), shapes, tuple(facts["outputs"]), facts["threads"], folder / CONVERTED)


def _measured(work: Callable[[], Result]) -> tuple[Result, dict[str, Any]]:
    """A result, its seconds, and the process' peak memory in MB."""
    began, began_cpu = perf_counter(), process_time()
    result = work()
    seconds = {"seconds": perf_counter() - began, "cpu_seconds": process_time() - began_cpu}
    return result, seconds | {"peak_mb": _peak_mb()}


def _peak_mb() -> int | None:
    """The peak resident memory in MB, where the system is Linux."""
    found = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text()) if STATUS.exists() else None
    return int(found[1]) // 1024 if found else None

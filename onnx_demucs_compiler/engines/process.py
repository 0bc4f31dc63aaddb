"""The outside of an engine's process."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onnx_demucs_compiler.engines import interpreter, worker
from onnx_demucs_compiler.errors import CompilerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    from numpy.typing import NDArray

    from onnx_demucs_compiler.engines.engine import Engine

LOG = "log"
LINE = 300
SOURCES = Path(__file__).parents[2]
"""The folder that this package lies in, for environments in which it is not installed."""

PROGRAM = """
import sys
from pathlib import Path
sys.path.append({sources!r})
from onnx_demucs_compiler.engines import ALL
from onnx_demucs_compiler.engines.worker import serve
serve(ALL[{name!r}], Path({folder!r}))
"""


class EngineError(CompilerError):
    """An engine refused a file, failed to run it, or ended.

    Attributes:
        version: of the engine, if its process came so far as to tell.
        ended: whether its process ended, unasked.
    """

    def __init__(self, message: str, version: str, *, ended: bool = False) -> None:
        self.version, self.ended = version, ended
        super().__init__(message)


@dataclass(frozen=True)
class Cost:
    """The cost of opening or of a run.

    Attributes:
        seconds: by the clock.
        cpu_seconds: of all threads.
        peak_mb: the most memory that the process has held so far; None where the system does not tell.
    """

    seconds: float
    cpu_seconds: float
    peak_mb: int | None


class EngineProcess:
    """A file open in an engine, in a process of its own.

    The process ends with the ``with`` block.

    Attributes:
        engine: which.
        version: of the engine.
        opening: the cost of opening the file.
    """

    def __init__(
        self,
        engine: Engine,
        model: Path,
        shapes: Mapping[str, Sequence[int]],
        outputs: Sequence[str],
        *,
        threads: int = 1,
        timeout: float | None = None,
    ) -> None:
        """Start the process and open the file.

        Args:
            engine: which.
            model: the ``.onnx`` file.
            shapes: of the inputs, by name, without open sizes.
            outputs: names, in order.
            threads: how many the engine may compute with.
            timeout: seconds for each answer; None for as long as it takes.

        Raises:
            CompilerError: the engine is not installed.
            EngineError: it refuses the file, or ends.
        """
        self.engine, self.version, self._timeout = engine, "", timeout
        self._scratch = tempfile.TemporaryDirectory(prefix="onnx-demucs-", ignore_cleanup_errors=True)
        self._folder = Path(self._scratch.name)
        self._log = (self._folder / LOG).open("wb")
        task = {
            "model": str(model.resolve()),
            "shapes": dict(shapes),
            "outputs": list(outputs),
            "threads": threads,
        }
        (self._folder / worker.TASK).write_text(json.dumps(task), encoding="utf-8")
        program = PROGRAM.format(sources=str(SOURCES), name=engine.name, folder=str(self._folder))
        self._process = subprocess.Popen(
            [interpreter(engine.name), "-P", "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=self._folder,
        )
        try:
            self.version = self._answer("open")["version"]
            self.opening = Cost(**self._answer("open"))
        except BaseException:
            self.close()
            raise

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> tuple[list[NDArray[Any]], Cost]:
        """Run the file once.

        Args:
            feeds: the inputs, by name.

        Returns:
            The outputs in their order, and the cost.

        Raises:
            EngineError: the engine fails, or ends.
        """
        arrays: dict[str, Any] = dict(feeds)
        np.savez(self._folder / worker.FEEDS, **arrays)
        with suppress(BrokenPipeError):  # it has ended, which the answer will tell
            print(file=self._process.stdin, flush=True)
        cost = Cost(**self._answer("run"))
        with np.load(self._folder / worker.OUTPUTS) as file:
            return list(file.values()), cost

    @property
    def converted_bytes(self) -> int:
        """The size of the converted files; 0 where the engine reads ONNX."""
        return sum(path.stat().st_size for path in self._folder.glob(f"{worker.CONVERTED}*"))

    def close(self) -> None:
        """End the process, and remove its folder."""
        self._process.kill()
        self._process.communicate()
        self._log.close()
        self._scratch.cleanup()

    def __enter__(self) -> EngineProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self, doing: str) -> dict[str, Any]:
        """The next line of the process.

        Raises:
            CompilerError: the engine is not installed.
            EngineError: it fails, ends, or takes too long.
        """
        assert self._process.stdout is not None
        with self._patience():
            line = self._process.stdout.readline()
        if not line:
            raise EngineError(self._end(), self.version, ended=True)
        facts: dict[str, Any] = json.loads(line)
        if "missing" in facts:
            raise CompilerError(f"{self.engine.name} is not installed: {self.engine.pip_line}")
        if "error" in facts:
            raise EngineError(f"{self.title} cannot {doing} the file ({facts['error']})", self.version)
        return facts

    @contextmanager
    def _patience(self) -> Iterator[None]:
        """Kill the process if the block takes too long."""
        if self._timeout is None:
            yield
            return
        timer = threading.Timer(self._timeout, self._process.kill)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _end(self) -> str:
        """The end of the process, in one line."""
        code = self._process.wait()
        if code < 0:
            return f"{self.title} ended with signal {-code}"
        lines = (self._folder / LOG).read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"{self.title} ended with exit code {code}" + (f" ({last[:LINE]})" if last else "")

    @property
    def title(self) -> str:
        """The engine's name and version."""
        return f"{self.engine.name} {self.version}".strip()

"""Graphs in onnxruntime-web's WebAssembly, in one headless Chromium."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from entrants import Turn

from onnx_demucs_compiler.checking.decibels import nan_lowest, snr_db
from onnx_demucs_compiler.checking.verification import artifact_metadata
from onnx_demucs_compiler.runtime.interfaces import host_side

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from onnx_demucs_compiler.runtime.audio import Audio

DRIVER = Path(__file__).with_name("chromium.mjs")


class Chromium:
    """A browser whose page is cross-origin isolated.

    Attributes:
        versions: of Chromium and onnxruntime-web.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Wait for the page."""
        self._process = process
        self.versions = self._heard()
        if not self.versions.pop("isolated"):
            sys.exit("the page is not cross-origin isolated, and has no threads")

    def ask(self, worker: str, **message: Any) -> dict[str, Any]:
        """The answer of a worker, which begins with its first message."""
        assert self._process.stdin is not None, "it is a pipe"
        print(json.dumps({"worker": worker, **message}, default=str), file=self._process.stdin, flush=True)
        answer = self._heard()
        if "error" in answer:
            sys.exit(f"error: {worker} in Chromium: {answer['error']}")
        return answer

    def _heard(self) -> dict[str, Any]:
        assert self._process.stdout is not None, "it is a pipe"
        line = self._process.stdout.readline()
        if not line:
            sys.exit("error: Chromium does not start, or ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def chromium(program: str) -> Iterator[Chromium]:
    """A browser for a while: a path, or a name on PATH."""
    found = shutil.which(program)
    if not found:
        sys.exit(f"error: there is no {program}; name a Chromium with --browser")
    process = subprocess.Popen(
        ["node", str(DRIVER), found], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Chromium(process)
    finally:
        process.communicate()


class WasmGraph:
    """A graph in a worker of its own.

    It takes its turn as :class:`entrants.Entrant` does.
    """

    def __init__(
        self,
        browser: Chromium,
        path: Path,
        feeds: Mapping[str, Audio],
        folder: Path,
        *,
        threads: int,
        core: int = 0,
        profile: bool = False,
    ) -> None:
        """Open an ``.onnx`` file, with the weights beside it if there are.

        Args:
            browser: that opens it.
            path: of the graph.
            feeds: its inputs, float32, by name.
            folder: for the files that go there and come back.
            threads: of WebAssembly.
            core: the size of the FFT around a graph with that interface, which is then fed the mix alone and
                gives stems; 0 runs a graph by itself.
            profile: whether to record the time of every node.
        """
        self._browser, self._path, self._outputs = browser, path, folder / f"{path.name}.outputs"
        self._kept = False
        weights = path.with_name(f"{path.name}.data")
        data = {"data": {"name": weights.name, "file": weights}} if weights.exists() else {}
        given = [{"name": name, "shape": value.shape, "file": folder / f"{path.name}.{name}"}
                 for name, value in feeds.items()]  # fmt: skip
        for each, value in zip(given, feeds.values(), strict=True):
            value.tofile(each["file"])
        self._ask(graph=path, **data, feeds=given, threads=threads, core=core, profile=profile)

    def run(self) -> Turn:
        """Run once; the outputs of the first run are kept."""
        told = self._ask(**({} if self._kept else {"keep": self._outputs}))
        self._kept = True
        return Turn(told["seconds"], math.nan, told["heap_mb"])

    def found(self, wanted: list[Audio]) -> list[Audio]:
        """The outputs of the first run, in the shapes of those expected."""
        flat = np.fromfile(self._outputs, np.float32)
        ends = np.cumsum([value.size for value in wanted])
        if len(flat) != ends[-1]:
            sys.exit(f"error: {self._path.name} gave {len(flat)} samples in Chromium in place of {ends[-1]}")
        parts = np.split(flat, ends[:-1])
        return [part.reshape(value.shape) for part, value in zip(parts, wanted, strict=True)]

    def profile(self) -> list[dict[str, Any]]:
        """The events of all runs so far; later ones are not recorded."""
        events: list[dict[str, Any]] = json.loads(self._ask(ended=True)["profile"])
        return events

    def close(self) -> None:
        """Nothing: its worker ends with the browser."""

    def _ask(self, **message: Any) -> dict[str, Any]:
        return self._browser.ask(self._path.name, **message)


def feeds_of(path: Path, mix: Audio) -> dict[str, Audio]:
    """The inputs of a graph for ``mix [B, C, N]``, by name."""
    interface = host_side(artifact_metadata(path))
    return dict(zip(interface.inputs, map(np.ascontiguousarray, interface.feeds(mix)), strict=True))


def size(path: Path) -> int:
    """Bytes of a graph and of the weights beside it."""
    weights = path.with_name(f"{path.name}.data")
    return path.stat().st_size + (weights.stat().st_size if weights.exists() else 0)


def least_snr(wanted: list[Audio], found: list[Audio]) -> float:
    """Of every stem in every output ``[1, S, ...]``, in dB."""
    return min(nan_lowest(snr_db(stem, other))
               for whole, part in zip(wanted, found, strict=True)
               for stem, other in zip(whole[0], part[0], strict=True))  # fmt: skip

"""``benchmarks/browser``: graphs that run in Chromium's WebAssembly, and the time of their operators."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import WasmGraph, chromium, feeds_of, least_snr, size
from compare import fft_around
from operators import by_operator
from tiny_model import TinyModel

from onnx_demucs_compiler.checking.verification import artifact_metadata
from onnx_demucs_compiler.runtime.graph import Graph
from onnx_demucs_compiler.runtime.session import create_session

PACKAGES = Path(__file__).parents[2] / "web" / "node_modules" / "onnxruntime-web"
BROWSER = os.environ.get("CHROMIUM") or shutil.which("chromium")
CORE = Path(__file__).parents[1] / "fixtures" / "4c9b12d" / "artifacts" / "core.onnx"

in_chromium = pytest.mark.skipif(
    BROWSER is None or shutil.which("node") is None or not PACKAGES.exists(),
    reason="no node, no chromium, or no web/node_modules: make web-install",
)


@in_chromium
def test_a_graph_on_two_threads(tmp_path: Path) -> None:
    path = TinyModel().save(tmp_path / "tiny.onnx", target="web")
    mix = np.random.default_rng(0).standard_normal((1, 2, 1000), np.float32)
    [wanted] = create_session(path).run(None, {"mix": mix})
    with chromium(str(BROWSER)) as browser:
        graph = WasmGraph(browser, path, feeds_of(path, mix), tmp_path, threads=2, profile=True)
        turns = [graph.run() for _ in range(2)]
        [found] = graph.found([wanted])
        profile = graph.profile()
        with pytest.raises(SystemExit, match=r"tiny\.onnx in Chromium"):
            WasmGraph(browser, path, {"mix": mix[:, :1]}, tmp_path, threads=2).run()
    assert min(turn.peak_mb for turn in turns) > 1
    assert least_snr([wanted], [found]) > 100
    assert by_operator(profile).keys() >= {"Conv", "Mul"}


@in_chromium
def test_the_spectrum_around_a_core_is_that_of_the_runtime(tmp_path: Path) -> None:
    assert fft_around(CORE) == artifact_metadata(CORE).n_fft
    mix = np.random.default_rng(0).standard_normal((1, 2, artifact_metadata(CORE).segment), np.float32)
    wanted = Graph(CORE, 1).run(mix)
    with chromium(str(BROWSER)) as browser:
        graph = WasmGraph(browser, CORE, {"mix": mix}, tmp_path, threads=1, core=fft_around(CORE))
        graph.run()
        [found] = graph.found([wanted])
    assert least_snr([wanted], [found]) > 110


def test_other_interfaces_are_refused(tmp_path: Path) -> None:
    assert fft_around(TinyModel().save(tmp_path / "tiny.onnx")) == 0
    with pytest.raises(SystemExit, match="interface spectral; give waveform or core"):
        fft_around(CORE.with_name("spectral.onnx"))


def test_bytes_to_fetch(tmp_path: Path) -> None:
    for name, count in {"a.onnx": 3, "b.onnx": 5, "b.onnx.data": 7}.items():
        (tmp_path / name).write_bytes(bytes(count))
    assert [size(tmp_path / name) for name in ("a.onnx", "b.onnx")] == [3, 12]


def test_operators_of_the_quickest_run_but_the_first() -> None:
    def node(ts: int, dur: int, operator: str, name: str = "x_kernel_time") -> dict[str, Any]:
        return {"name": name, "ts": ts, "dur": dur, "args": {"op_name": operator}}

    runs = [{"name": "model_run", "ts": ts, "dur": 90, "args": {}} for ts in (0, 100, 200)]
    events = [
        node(10, 90, "Conv"),
        node(110, 4000, "Conv"), node(120, 1000, "FusedConv"), node(130, 2000, "Mul"),
        node(140, 9, "Mul", "x_fence"),
        node(210, 5000, "Conv"), node(220, 1000, "FusedConv"), node(230, 1500, "Mul"),
    ]  # fmt: skip
    assert by_operator([*events, *runs]) == {"Conv": 5.0, "Mul": 1.5}

"""The targets. Nothing else in the engine knows a runtime by name.

A rule that is exact and neutral applies to every target; one that is tuned for a runtime names its targets,
and gives the figure that says what it buys there.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.targets.target import Target

if TYPE_CHECKING:
    from pathlib import Path

AI_ONNX = frozenset({"ai.onnx"})
WITH_CONTRIB = AI_ONNX | {"com.microsoft"}
NO_ONNX: frozenset[str] = frozenset()

PORTABLE = Target(
    "portable",
    domains=AI_ONNX,
    contract="portable",
    why="One file for every ONNX runtime.",
    tuned_for="ONNX Runtime on CPUs",
)
ORT = Target(
    "ort",
    domains=WITH_CONTRIB,
    contract="official",
    why="ONNX Runtime's own packages, with the operators that only they have.",
    tuned_for="ONNX Runtime on CPUs",
)
WEB = Target(
    "web",
    domains=AI_ONNX,
    contract="web",
    why="onnxruntime-web: ONNX Runtime's CPU provider in WebAssembly, and its two WebGPU providers.",
    tuned_for="ONNX Runtime on CPUs",
    precision="fp16-weights",
    external_data=True,
    refuses={"track": "no WebGPU provider has Loop, and the page cuts songs into segments"},
)
OPENVINO = Target(
    "openvino",
    domains=AI_ONNX,
    contract="openvino",
    why="OpenVINO on CPUs, in which the file is measured before it is written.",
    tuned_for="OpenVINO",
    precisions=("fp32", "fp16-weights"),
    engine="openvino",
    refuses={"quality": "it is chosen by measuring ONNX Runtime"},
)

PT2 = Target(
    "pt2",
    domains=NO_ONNX,
    contract="",
    precisions=("fp32",),
    why="torch.export's own file: PyTorch, and AOTInductor, which compiles it for C++.",
)
TFLITE = Target(
    "tflite",
    domains=NO_ONNX,
    contract="",
    precisions=("fp32",),
    why="LiteRT, once TensorFlow Lite: Android, iOS, embedded Linux.",
    tuned_for="LiteRT with XNNPACK",
    engine="litert",
)
PTE = Target(
    "pte",
    domains=NO_ONNX,
    contract="",
    precisions=("fp32",),
    why="ExecuTorch: Android, iOS, microcontrollers.",
    tuned_for="ExecuTorch with XNNPACK",
    engine="executorch",
)
MLPACKAGE = Target(
    "mlpackage",
    domains=NO_ONNX,
    contract="",
    precisions=("fp32", "fp16"),
    why="Core ML: macOS, iOS.",
    tuned_for="Core ML",
    engine="coreml",
)

__all__ = [
    "ALL",
    "CPU_RUNTIMES",
    "EMITTED",
    "EMITTED_FOR",
    "MLPACKAGE",
    "OPENVINO",
    "ORT",
    "PORTABLE",
    "PT2",
    "PTE",
    "TARGETS",
    "TFLITE",
    "WEB",
    "Target",
    "emitted_as",
    "emitted_target",
    "target_named",
]

TARGETS = {target.name: target for target in (PORTABLE, ORT, WEB, OPENVINO)}
"""Every target of an ONNX graph, by name."""

EMITTED = {target.name: target for target in (PT2, TFLITE, PTE, MLPACKAGE)}
"""The other formats, by the suffix of their files: made from the program after DECOMPOSE, without ONNX."""

EMITTED_FOR = {target.engine: target for target in EMITTED.values() if target.engine}
"""These formats by the engine that runs them."""

ALL = frozenset({*TARGETS.values(), *EMITTED.values()})
CPU_RUNTIMES = frozenset(target for target in ALL if target.tuned_for in ("ONNX Runtime on CPUs", "OpenVINO"))
"""Where rules belong that were measured on CPUs, and gain nothing that is known elsewhere.

WebAssembly is one of these CPUs: what saves memory natively saves it there, where there is less. htdemucs
takes 756 MB of its heap with these rules, 2546 without (benchmarks/browser/compare.py). OpenVINO plans its
memory itself: there all of them together take 6 % less time on one processor and 4 % more on another
(benchmarks/openvino_runtime.py).
"""


def target_named(name: str) -> Target:
    """A target by its name.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in TARGETS:
        raise UsageError(f"unknown target {name}; known: {', '.join(TARGETS)}")
    return TARGETS[name]


def emitted_target(name: str) -> Target:
    """A format beside ONNX by its name.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in EMITTED:
        close = difflib.get_close_matches(name.removeprefix("."), EMITTED, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(EMITTED)}"
        raise UsageError(f"emit={name} is no format beside ONNX; {hint}")
    return EMITTED[name]


def emitted_as(path: Path) -> Target | None:
    """The format beside ONNX that a file's suffix names."""
    return EMITTED.get(path.suffix.removeprefix(".").lower())

"""The time that runs of a graph take."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from onnx_demucs_compiler.checking.fidelity import open_session
from onnx_demucs_compiler.runtime.session import session_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from onnx_demucs_compiler.checking.fidelity import References

ROUNDS = 3

HOLD_OTHERS = ("If", "Loop", "Scan")
"""Operators whose time is that of the nodes in them, which are told as well."""


def best_seconds(references: References, graphs: Sequence[bytes]) -> list[float]:
    """The shortest of several runs of each serialised graph, in turn."""
    sessions = [open_session(graph) for graph in graphs]
    rounds = [[references.seconds(session) for session in sessions] for _ in range(ROUNDS)]
    return [min(times) for times in zip(*rounds, strict=True)]


def seconds_by_operator(graph: bytes, inputs: tuple[torch.Tensor, ...]) -> dict[str, float]:
    """Seconds of one run by operator, longest first, by ONNX Runtime's profiler.

    The mean of several runs after the first. What the runtime fuses has the name that it gives it.

    Args:
        graph: serialised.
        inputs: in the order of the graph's.

    Raises:
        CompilerError: ONNX Runtime refuses the graph.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = session_options()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = open_session(graph, options)
        feeds = {port.name: value.numpy() for port, value in zip(session.get_inputs(), inputs, strict=True)}
        for _ in range(1 + ROUNDS):
            session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    first, *_ = (event["ts"] + event["dur"] for event in events if event["name"] == "model_run")
    seconds = Counter[str]()
    for event in events:
        if event["name"].endswith("_kernel_time") and event["ts"] >= first:
            seconds[event["args"]["op_name"]] += event["dur"] / 1e6 / ROUNDS
    return {name: spent for name, spent in seconds.most_common() if name not in HOLD_OTHERS}

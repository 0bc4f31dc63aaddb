"""Graphs that are read at a glance, and what ONNX Runtime does with a model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import parser

LOOP = """
<ir_version: 8, opset_import: ["" : 18, "com.microsoft" : 1]>
looping (float[2, 2] x) => (float[2, 2] y) <int64 steps = {4}, bool go_on = {1}>
{
    size = Shape (x)
    doubled = Add (size, size)
    halved = Div (doubled, size)
    factor = Cast <to = 1> (halved)
    scaled = Mul (x, factor)
    soft = com.microsoft.Gelu (scaled)
    wide = Concat <axis = 0> (soft, soft)
    first, second = Split <axis = 0, num_outputs = 2> (wide)
    y = Loop (steps, go_on, first) <body = step
        (int64 i, bool condition, float[2, 2] before) => (bool next, float[2, 2] after)
        {
            next = Identity (condition)
            one_more = Sub (before, second)
            after = Tanh (one_more)
        }>
}
"""
"""Whole numbers outside, and in the loop operators that are nowhere else and a value from outside."""

FLOATS = """
<ir_version: 8, opset_import: ["" : 18]>
floats (float[4] x) => (float[4] y)
{
    s = Add (x, x)
    y = Softmax <axis = 0> (s)
}
"""

NUMBERS = """
<ir_version: 8, opset_import: ["" : 12]>
numbers (int64[4] x) => (int64[4] y)
{
    s = Add (x, x)
    y = Neg (s)
}
"""


def model(text: str) -> bytes:
    """An ONNX model from its text."""
    content: bytes = parser.parse_model(text).SerializeToString(deterministic=True)
    onnx.checker.check_model(content, full_check=True)
    return content


def profiled(model: bytes, feed: dict[str, np.ndarray], folder: Path) -> list[dict[str, Any]]:
    """What a session that opens a model really runs: a record for each run of a kernel."""
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    session.run(None, feed)
    events = json.loads(Path(session.end_profiling()).read_text())
    return [
        event["args"] for event in events if event["cat"] == "Node" and event["name"].endswith("_kernel_time")
    ]

"""One computation in several forms, in turn in ONNX Runtime.

``forms_in_ort.py [--json FILE]`` prints the least milliseconds of each form on one thread, for the rules
that take one in place of another.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnx
from benchmark_machine import machine

from onnx_demucs_compiler.checking.fidelity import open_session
from onnx_demucs_compiler.runtime.session import session_options

ROUNDS = 30

HEAD = '<ir_version: 8, opset_import: ["": 18]> form '

FORMS: dict[str, tuple[str, dict[str, str]]] = {
    "slopes of 512 channels": (
        "(float[1, 512, 2000] x, float[512, 1] a) => (float[1, 512, 2000] y)",
        {
            "PRelu": "{ y = PRelu(x, a) }",
            "Mul and Max": "{ b = Mul(x, a) y = Max(x, b) }",
            "LeakyRelu": "{ y = LeakyRelu<alpha = 0.25>(x) }",
        },
    ),
    "softmax over two sources": (
        "(float[1, 2, 256, 1600] x) => (float[1, 2, 256, 1600] y) <int64[1] axis = {1}>",
        {
            "Softmax": "{ y = Softmax<axis = 1>(x) }",
            "written out": "{ m = ReduceMax(x, axis) d = Sub(x, m) e = Exp(d) s = ReduceSum(e, axis) "
            "y = Div(e, s) }",
        },
    ),
    "scores of an attention": (
        "(float[62, 4, 100, 32] x, float[62, 4, 100, 32] a) => (float[62, 4, 100, 100] y)",
        {
            "Einsum": '{ y = Einsum<equation = "bhid,bhjd->bhij">(x, a) }',
            "MatMul": "{ b = Transpose<perm = [0, 1, 3, 2]>(a) y = MatMul(x, b) }",
        },
    ),
    "a layer in eight groups": (
        "(float[1, 100, 8, 32] x, float[8, 32, 64] a) => (float[1, 100, 8, 64] y)",
        {
            "Einsum": '{ y = Einsum<equation = "btgi,gih->btgh">(x, a) }',
            "MatMul": "{ b = Transpose<perm = [0, 2, 1, 3]>(x) c = MatMul(b, a) "
            "y = Transpose<perm = [0, 2, 1, 3]>(c) }",
        },
    ),
}


def main() -> None:
    """Print the times of each computation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = {name: milliseconds(signature, forms) for name, (signature, forms) in FORMS.items()}
    for name, times in found.items():
        print(json.dumps({name: times}))
    if arguments.json:
        results = machine() | {"threads": 1, "forms": found}
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def milliseconds(signature: str, forms: dict[str, str]) -> dict[str, float]:
    """The least milliseconds of each form of one computation."""
    sessions = {name: _session(signature + body) for name, body in forms.items()}
    draw = np.random.default_rng(0)
    least = dict.fromkeys(forms, float("inf"))
    feeds = {port.name: draw.standard_normal(port.shape, np.float32)
             for port in next(iter(sessions.values())).get_inputs()}  # fmt: skip
    for _ in range(ROUNDS):
        for name, session in sessions.items():
            start = perf_counter()
            session.run(None, feeds)
            least[name] = min(least[name], 1e3 * (perf_counter() - start))
    return {name: round(time, 3) for name, time in least.items()}


def _session(graph: str) -> Any:
    return open_session(onnx.parser.parse_model(HEAD + graph), session_options(1))


if __name__ == "__main__":
    main()

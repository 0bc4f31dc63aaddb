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


def _attention(blocks: int, axis: int) -> str:
    """Attention in blocks of bands, axis 0, or queries, axis 2."""
    cut = "qkv" if axis == 0 else "q"
    text = ""
    for name in cut:
        parts = ", ".join(f"{name}{n}" for n in range(blocks))
        text += f"{parts} = Split<axis = {axis}, num_outputs = {blocks}>({name}) "
    for n in range(blocks):
        key, value = (f"{name}{n}" if name in cut else name for name in "kv")
        text += f"s{n} = MatMul(q{n}, {key}) p{n} = Softmax<axis = -1>(s{n}) y{n} = MatMul(p{n}, {value}) "
    return f"{{ {text} y = Concat<axis = {axis}>({', '.join(f'y{n}' for n in range(blocks))}) }}"


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
    "queries turned by a table": (
        "(float[62, 4, 100, 16] x, float[1, 100, 1, 16] a, float[1, 1, 100, 16] b) "
        "=> (float[62, 4, 100, 16] y) <int64[4] steps = {62, 100, 4, 16}, int64[4] heads = {62, 4, 100, 16}>",
        {
            "steps before heads": "{ c = Reshape(x, steps) d = Mul(c, a) y = Reshape(d, heads) }",
            "heads before steps": "{ y = Mul(x, b) }",
        },
    ),
    "a projection to heads": (
        "(float[62, 100, 384] x, float[384, 512] a, float[8, 384, 64] b) => (float[62, 8, 100, 64] y) "
        "<int64[4] apart = {62, 100, 8, 64}, int64[1] one = {1}>",
        {
            "one product": "{ c = MatMul(x, a) d = Reshape(c, apart) y = Transpose<perm = [0, 2, 1, 3]>(d) }",
            "by heads": "{ c = Unsqueeze(x, one) y = MatMul(c, b) }",
        },
    ),
    "attention of 800 steps in four bands": (
        "(float[4, 8, 800, 64] q, float[4, 8, 64, 800] k, float[4, 8, 800, 64] v) "
        "=> (float[4, 8, 800, 64] y)",
        {"blocks of five queries": _attention(160, 2), "blocks of bands": _attention(4, 0)},
    ),
    "four sources side by side": (
        "(float[2, 2049, 44, 1] x) => (float[2, 2049, 44, 4] y) "
        "<int64[4] one = {2, 2049, 44, 1}, int64[4] four = {2, 2049, 44, 4}, "
        "int64[1] p0 = {0}, int64[1] p1 = {1}, int64[1] p2 = {2}, int64[1] p3 = {3}>",
        {
            "ScatterElements": "{ y0 = ConstantOfShape(four) "
            + "".join(
                f"i{n} = Expand(p{n}, one) y{n + 1} = ScatterElements<axis = 3>(y{n}, i{n}, x) "
                for n in range(4)
            )
            + "y = Identity(y4) }",
            "Concat": "{ y = Concat<axis = 3>(x, x, x, x) }",
        },
    ),
    "rows added up in pairs": (
        "(float[4100, 100] x) => (float[2050, 100] y) <int64 zero = {0}, int64 one = {1}, int64 two = {2}, "
        "int64 half = {2050}, int64 all = {4100}, int64[2] wide = {4100, 100}, int64[2] shape = {2050, 100}, "
        "int64[1] last = {1}>",
        {
            "ScatterElements": "{ a = Range(zero, all, one) b = Div(a, two) c = Unsqueeze(b, last) "
            "i = Expand(c, wide) none = ConstantOfShape(shape) "
            'y = ScatterElements<axis = 0, reduction = "add">(none, i, x) }',
            "Gather and Add": "{ i = Range(zero, all, two) j = Range(one, all, two) "
            "a = Gather(x, i) b = Gather(x, j) y = Add(a, b) }",
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

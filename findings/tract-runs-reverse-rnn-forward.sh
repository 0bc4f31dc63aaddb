#!/usr/bin/env bash
# tract 0.23.9 (wheel of the Rust engine): LSTM, GRU and RNN with direction "reverse" run forward.
#
# One would guess: an attribute that the engine does not implement is an error when the file is read.
# What happens: direction="reverse" is dropped without a word. The output equals that of
#   direction="forward" to the last bits. "bidirectional" is right, and so is every test that
#   uses only that; onnxruntime, openvino and onnx's reference evaluator are right in all three.
# Why it matters: separators and denoisers with two one-way layers (Keras' Bidirectional wrapper,
#   models that merge directions by a sum) export one forward and one reverse node. In tract they
#   load, run at full speed and give plausible, wrong masks.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check \
  tract==0.23.9 onnxruntime==1.31.1 onnx==1.23.2 numpy==2.4.6
cd "$dir"
"$dir/venv/bin/python" - <<'PY'
import sys
import numpy as np
import onnx
import onnxruntime
import tract
from onnx import helper, numpy_helper

random = np.random.default_rng(0)
x = random.standard_normal((9, 2, 4), dtype=np.float32)
gates = {"LSTM": 4, "GRU": 3, "RNN": 1}


def run(kind, direction, seed=1):
    weights = np.random.default_rng(seed)
    ways = 2 if direction == "bidirectional" else 1
    arrays = {"w": weights.standard_normal((ways, 3 * gates[kind], 4), dtype=np.float32),
              "r": weights.standard_normal((ways, 3 * gates[kind], 3), dtype=np.float32)}
    node = helper.make_node(kind, ["x", "w", "r"], ["y"], hidden_size=3, direction=direction)
    graph = helper.make_graph(
        [node], "rnn", [helper.make_tensor_value_info("x", 1, [9, 2, 4])],
        [helper.make_tensor_value_info("y", 1, [9, ways, 2, 3])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "rnn.onnx")
    session = onnxruntime.InferenceSession("rnn.onnx", providers=["CPUExecutionProvider"])
    engine = tract.onnx().load("rnn.onnx").into_model().into_runnable()
    return session.run(None, {"x": x})[0], engine.run([x])[0].to_numpy()


def apart(a, b):
    return float(np.abs(a - b).max())


as_stated = True
for kind in gates:
    forward, (wanted, got) = run(kind, "forward")[0], run(kind, "reverse")
    both = apart(*run(kind, "bidirectional"))
    print(f"{kind} reverse: tract against onnxruntime {apart(got, wanted):.1e}, against onnxruntime's "
          f"forward {apart(got, forward):.1e}; bidirectional {both:.1e}")
    as_stated &= apart(got, wanted) > 0.1 and apart(got, forward) < 1e-5 and both < 1e-5
sys.exit(0 if as_stated else "no longer so")
PY
exit 0

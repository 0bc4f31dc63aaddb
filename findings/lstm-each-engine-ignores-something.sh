#!/usr/bin/env bash
# onnx 1.23.2, openvino 2026.4.1, tract 0.23.9: each drops other inputs and attributes of LSTM
# without a word; onnx's own reference evaluator drops the most.
#
# One would guess: an engine refuses what it does not implement, and the reference can settle disputes.
# What happens, against the equations of the ONNX specification of LSTM written out below in float64:
#   onnx's ReferenceEvaluator  ignores sequence_lens, clip and input_forget,
#   OpenVINO                   ignores the peepholes (input P) and input_forget,
#   tract                      ignores clip and input_forget (sequence_lens it refuses),
#   onnxruntime                is right in all of them.
# Why it matters: batches of songs of unequal length rely on sequence_lens, speech models from Kaldi on
#   peepholes and clip. A comparison with the "reference" accuses the engine that is right.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check \
  onnx==1.23.2 onnxruntime==1.31.1 openvino==2026.4.1 tract==0.23.9 numpy==2.4.6
cd "$dir"
"$dir/venv/bin/python" - <<'PY'
import sys
import numpy as np
import onnx
import onnxruntime
import openvino
import tract
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

random = np.random.default_rng(0)
T, N, I, H = 9, 2, 4, 3
x, w, r = (random.standard_normal(s).astype(np.float32) for s in ((T, N, I), (1, 4 * H, I), (1, 4 * H, H)))
p = random.standard_normal((1, 3 * H)).astype(np.float32)
lens = np.array([T, 4], np.int32)


def specification(peepholes=False, sequence_lens=False, clip=np.inf, input_forget=0):
    def sigmoid(v):
        return 1 / (1 + np.exp(-np.clip(v, -clip, clip)))
    pi, po, pf = (p[0] if peepholes else 0 * p[0]).astype(np.float64).reshape(3, H)
    h, c, y = np.zeros((N, H)), np.zeros((N, H)), np.zeros((T, 1, N, H))
    for t in range(T):
        i, o, f, g = np.split(x[t].astype(np.float64) @ w[0].T + h @ r[0].T, 4, axis=1)
        i = sigmoid(i + pi * c)
        f = 1 - i if input_forget else sigmoid(f + pf * c)
        c = f * c + i * np.tanh(np.clip(g, -clip, clip))
        h = sigmoid(o + po * c) * np.tanh(c)
        y[t, 0] = h * (t < lens)[:, None] if sequence_lens else h
    return y


def correct(peepholes=False, sequence_lens=False, **attributes):
    names = ["x", "w", "r", "", "lens" if sequence_lens else "", "", "", "p" if peepholes else ""]
    while not names[-1]:
        names.pop()
    arrays = {"w": w, "r": r, "p": p, "lens": lens}
    graph = helper.make_graph(
        [helper.make_node("LSTM", names, ["y"], hidden_size=H, **attributes)], "lstm",
        [helper.make_tensor_value_info("x", 1, x.shape)],
        [helper.make_tensor_value_info("y", 1, [T, 1, N, H])],
        [numpy_helper.from_array(arrays[name], name) for name in names if name in arrays])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, "lstm.onnx")
    wanted = specification(peepholes, sequence_lens, **attributes)
    engines = {
        "reference": lambda: ReferenceEvaluator(model).run(None, {"x": x})[0],
        "onnxruntime": lambda: onnxruntime.InferenceSession("lstm.onnx").run(None, {"x": x})[0],
        "openvino": lambda: openvino.Core().compile_model(
            "lstm.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(x)[0],
        "tract": lambda: tract.onnx().load("lstm.onnx").into_model().into_runnable().run([x])[0].to_numpy()}
    if sequence_lens:
        del engines["tract"]
    return [name for name, run in engines.items() if np.allclose(run(), wanted, atol=1e-4)]


cases = {"plain": {}, "sequence_lens": {"sequence_lens": True}, "peepholes": {"peepholes": True},
         "clip": {"clip": 0.5}, "input_forget": {"input_forget": 1}}
right = {name: correct(**case) for name, case in cases.items()}
print("right:", "; ".join(f"{name}: {', '.join(engines)}" for name, engines in right.items()))
as_stated = right == {"plain": ["reference", "onnxruntime", "openvino", "tract"],
                      "sequence_lens": ["onnxruntime", "openvino"],
                      "peepholes": ["reference", "onnxruntime", "tract"],
                      "clip": ["onnxruntime", "openvino"], "input_forget": ["onnxruntime"]}
sys.exit(0 if as_stated else "no longer so")
PY
exit 0

#!/usr/bin/env bash
# onnxruntime 1.31.1 and openvino 2026.4.1: Range in float32 adds the step to itself, so that a time
# axis of a minute is half a second off.
#
# One would guess: output[i] = start + i * delta, which is what the ONNX specification of Range says
#   and what torch.arange, numpy.arange and onnx's own reference evaluator compute.
# What happens: both engines keep a running float32 sum, whose rounding is the same at every step
#   and so adds up. At a step of 1/44100 the time after 60 s reads 60.52, with as many elements as
#   asked for. OpenVINO starts anew in each thread, so there the error depends on their number.
# Why it matters: oscillators, vibrato, positional encodings and cross-fades built from
#   arange(n) / rate are exported as Range(0, n / rate, 1 / rate) or as Range over int64 and a Mul.
#   Only the second is right: a synthesised tone is 0.9 % (15 cents) sharp, and worse with length.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check \
  onnxruntime==1.31.1 openvino==2026.4.1 onnx==1.23.2 numpy==2.4.6
cd "$dir"
"$dir/venv/bin/python" - <<'PY'
import sys
import numpy as np
import onnx.parser
import onnxruntime
import openvino
from onnx.reference import ReferenceEvaluator

model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
time (float start, float stop, float step) => (float[n] seconds) { seconds = Range(start, stop, step) }""")
onnx.save(model, "range.onnx")
step = np.float32(1 / 44100)
feeds = {"start": np.array(0, np.float32), "stop": np.array(60, np.float32), "step": np.array(step)}
session = onnxruntime.InferenceSession("range.onnx", providers=["CPUExecutionProvider"])
compiled = openvino.Core().compile_model("range.onnx", "CPU",
                                       {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})
seconds = {"onnxruntime": session.run(None, feeds)[0], "openvino": compiled(list(feeds.values()))[0],
           "onnx reference": ReferenceEvaluator(model).run(None, feeds)[0]}
off = {name: float(axis[2_640_000] - 2_640_000 * np.float64(step)) for name, axis in seconds.items()}
print("seconds off at sample 2,640,000 (59.86 s):", {name: round(value, 4) for name, value in off.items()})
as_stated = off["onnxruntime"] > 0.5 and off["openvino"] > 0.5 and abs(off["onnx reference"]) < 1e-5
sys.exit(0 if as_stated else "no longer so")
PY
exit 0

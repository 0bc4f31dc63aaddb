#!/usr/bin/env bash
# openvino 2026.4.1: the ONNX DFT of a real signal with onesided=1 has one axis too many, and its
# inverse one too few.
#
# One would guess: DFT of [batch, samples, 1] is [batch, bins, 2], as the ONNX specification writes
#   (the last axis goes from real to complex), and as onnxruntime and onnx's reference compute.
# What happens: OpenVINO's importer maps it to RDFT, which appends the axis for real and imaginary
#   parts, and leaves the 1: [batch, bins, 1, 2]. The numbers are right. The inverse, with
#   inverse=1, gives [batch, samples] in place of [batch, samples, 1]. The model's declared shape of
#   the output is not compared. Two-sided DFT keeps its rank.
# Why it matters: the magnitude as ReduceL2 over axis 2, or a Mul by a window or a mask of
#   [bins, 2], goes on without an error and broadcasts to something else. A forward and an inverse
#   one after the other hide each other's fault, so that a round trip looks right.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check \
  openvino==2026.4.1 onnxruntime==1.31.1 onnx==1.23.2 numpy==2.4.6
cd "$dir"
"$dir/venv/bin/python" - <<'PY'
import sys
import numpy as np
import onnx.parser
import onnxruntime
import openvino
from onnx.reference import ReferenceEvaluator

onnxruntime.set_default_logger_severity(4)
x = np.random.default_rng(0).standard_normal((3, 16, 1), dtype=np.float32)
spectrum = np.fft.rfft(x[:, :, 0])
spectrum = np.stack([spectrum.real, spectrum.imag], -1).astype(np.float32)


def shapes(body, value, result):
    shape = ", ".join(map(str, value.shape))
    model = onnx.parser.parse_model(f"""<ir_version: 9, opset_import: ["" : 20]>
    dft (float[{shape}] x) => (float[{result}] y)
    <int64 axis = {{1}}, int64 length = {{16}}> {{ {body} }}""")
    onnx.save(model, "dft.onnx")
    session = onnxruntime.InferenceSession("dft.onnx", providers=["CPUExecutionProvider"])
    compiled = openvino.Core().compile_model("dft.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = [ReferenceEvaluator(model).run(None, {"x": value})[0], session.run(None, {"x": value})[0],
             compiled([value])[0]]
    same = found[1].size == found[2].size and np.allclose(found[1].ravel(), found[2].ravel(), atol=1e-5)
    return [y.shape for y in found], same


forward = shapes("y = DFT <onesided = 1> (x, , axis)", x, "3, 9, 2")
inverse = shapes("y = DFT <onesided = 1, inverse = 1> (x, length, axis)", spectrum, "3, 16, 1")
magnitude = shapes("z = DFT <onesided = 1> (x, , axis) axes = Constant <value_ints = [2]> ()"
                   "y = ReduceL2 <keepdims = 0> (z, axes)", x, "3, 9")
print("[onnx reference, onnxruntime, openvino]: forward", forward[0], "inverse", inverse[0],
      "magnitude over axis 2", magnitude[0])
as_stated = (forward[0] == [(3, 9, 2), (3, 9, 2), (3, 9, 1, 2)] and forward[1]
             and inverse[0] == [(3, 16, 1), (3, 16, 1), (3, 16)] and inverse[1]
             and magnitude[0] == [(3, 9), (3, 9), (3, 9, 2)])
sys.exit(0 if as_stated else "no longer so")
PY
exit 0

#!/usr/bin/env bash
# onnxruntime 1.31.1: the default optimisation moves a Pad with zeros into the MaxPool after it, and
# the zeros are gone.
#
# One would guess: Pad(0) then MaxPool sees the zeros; optimisation levels change speed, not results.
# What happens: MaxPool's own `pads` never win ("padding" there is minus infinity by specification),
#   so the fused node is another function. It differs wherever the padded border meets negative
#   values. The optimisation belongs to the basic level, which every session runs by default, and
#   offline optimised files keep it. With ORT_DISABLE_ALL the result is right. Padding with minus
#   infinity stays right.
# Why it matters: peak followers and limiters take a running maximum, as F.pad and max_pool1d, over
#   levels in dB, all of them negative: full scale at the border (0 dB) becomes the level of the
#   music, and the gain at the seams of a song cut in segments is another than in PyTorch.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check onnxruntime==1.31.1 onnx==1.23.2 numpy==2.4.6
cd "$dir"
"$dir/venv/bin/python" - <<'PY'
import sys
import numpy as np
import onnx.parser
import onnxruntime
from onnx.reference import ReferenceEvaluator

model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 18]>
peak (float[1, 1, 4] level) => (float[1, 1, 4] held)
<int64[6] pads = {0, 0, 1, 0, 0, 1}, float zero = {0}> {
    padded = Pad(level, pads, zero)
    held = MaxPool <kernel_shape = [3]> (padded)
}""")
level = np.array([[[-12, -20, -30, -6]]], np.float32)  # dB


def held(optimisation):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = optimisation
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, {"level": level})[0].ravel().tolist()


off, default = (held(getattr(onnxruntime.GraphOptimizationLevel, level)) for level in
                ("ORT_DISABLE_ALL", "ORT_ENABLE_ALL"))
reference = ReferenceEvaluator(model).run(None, {"level": level})[0].ravel().tolist()
print(f"held peaks in dB: onnx reference {reference}, not optimised {off}, by default {default}")
as_stated = reference == off == [0, -12, -6, 0] and default == [-12, -12, -6, -6]
sys.exit(0 if as_stated else "no longer so")
PY
exit 0

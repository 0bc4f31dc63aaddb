#!/usr/bin/env bash
# onnx 1.23.2, onnxruntime 1.31.1, openvino 2026.4.1: one Resize by a scale has up to three lengths.
#
# One would guess: the length is floor(input length * scale), as the ONNX specification of Resize says,
#   the same in shape inference and in every engine.
# What happens: the scale is float32, so 44100/48000 is stored a little too small. onnx's shape
#   inference and its reference evaluator multiply exactly: 16000 samples become 14699. onnxruntime
#   multiplies in float32, which comes out as 14700. OpenVINO reckons as if the scale were 1e-6
#   larger: 14700 here, but 2,910,603 for 66 s, where onnxruntime has 2,910,600 and inference 2,910,599.
# Why it matters: F.interpolate(scale_factor=...) is exported with scales. Shapes written into the file
#   by inference contradict the engine, a skip connection fits in one engine and not in the other, and
#   OpenVINO's output drifts against the mix. Export with a size, not with a scale.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check \
  onnx==1.23.2 onnxruntime==1.31.1 openvino==2026.4.1 numpy==2.4.6
cd "$dir"
"$dir/venv/bin/python" - <<'PY'
import sys
import numpy as np
import onnx.parser
import onnxruntime
import openvino
from onnx.reference import ReferenceEvaluator

onnxruntime.set_default_logger_severity(4)


def lengths(samples):
    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 18]>
    rate (float[1, 1, {samples}] x) => (float[1, 1, n] y) <float[3] scales = {{1, 1, {44100 / 48000!r}}}> {{
        y = Resize <mode = "nearest"> (x, , scales)
    }}""")
    onnx.save(model, "resize.onnx")
    x = np.zeros((1, 1, samples), np.float32)
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph.output[0].type.tensor_type.shape
    session = onnxruntime.InferenceSession("resize.onnx", providers=["CPUExecutionProvider"])
    compiled = openvino.Core().compile_model("resize.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = {"inferred": inferred.dim[2].dim_value, "onnxruntime": session.run(None, {"x": x})[0].shape[2],
             "openvino": compiled([x])[0].shape[2]}
    if samples < 20_000:  # the reference takes seconds there
        found["reference"] = ReferenceEvaluator(model).run(None, {"x": x})[0].shape[2]
    return found


short, long = lengths(16000), lengths(3_168_000)
print("48 to 44.1 kHz, 16000 samples:", short, "3168000 samples:", long)
as_stated = (short == {"inferred": 14699, "onnxruntime": 14700, "openvino": 14700, "reference": 14699}
             and long == {"inferred": 2910599, "onnxruntime": 2910600, "openvino": 2910603})
sys.exit(0 if as_stated else "no longer so")
PY
exit 0

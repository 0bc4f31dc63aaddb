#!/usr/bin/env bash
# onnxscript 0.7.2: version_converter.convert_version on an onnx.ModelProto rewrites the nodes and
# leaves the model's opset number, without an error.
#
# One would guess: convert_version(model, 22), which takes "ir.Model | onnx.ModelProto" and converts
#   in place, leaves a model of opset 22 in both cases.
# What happens: for a ModelProto the converted graph is copied back, opset_import is not. A
#   GroupNormalization of opset 18 gets opset 21's scale (one number per channel in place of one per
#   group) and is still read as opset 18's; a DFT of opset 17 gets the axis as third input, which
#   17 does not have. The same call on the ir.Model of the same file is right.
# Why it matters: nothing fails before an engine loads the file, and where old and new signature
#   both fit, it is computed by the old rules. Convert ir.from_proto(model) and serialise that.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check \
  onnxscript==0.7.2 onnx==1.23.2 onnx_ir==1.1.0 onnxruntime==1.31.1 numpy==2.4.6
cd "$dir"
"$dir/venv/bin/python" - <<'PY'
import sys
import numpy as np
import onnx.parser
import onnx_ir
import onnxruntime
from onnxscript import version_converter

onnxruntime.set_default_logger_severity(4)
TEXT = """<ir_version: 8, opset_import: ["" : 18]>
norm (float[1, 4, 8] x) => (float[1, 4, 8] y) <float[2] scale = {1, 2}, float[2] bias = {0, 1}> {
    y = GroupNormalization <num_groups = 2> (x, scale, bias)
}"""
x = np.random.default_rng(0).standard_normal((1, 4, 8), dtype=np.float32)


def run(model):
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return session.run(None, {"x": x})[0]
    except Exception as error:
        return type(error).__name__


wanted = run(onnx.parser.parse_model(TEXT))
proto = onnx.parser.parse_model(TEXT)
version_converter.convert_version(proto, 22)
model = onnx_ir.from_proto(onnx.parser.parse_model(TEXT))
version_converter.convert_version(model, 22)
model = onnx_ir.to_proto(model)
got = run(proto)
right = run(model)
print(f"asked for opset 22: from ModelProto {proto.opset_import[0].version}, {len(proto.graph.node)} nodes "
      f"in place of 1, onnxruntime: {got if isinstance(got, str) else 'runs'}; "
      f"from ir.Model {model.opset_import[0].version}, as before to {np.abs(right - wanted).max():.0e}")
as_stated = (proto.opset_import[0].version == 18 and len(proto.graph.node) > 1 and isinstance(got, str)
             and model.opset_import[0].version == 22 and np.allclose(right, wanted, atol=1e-5))
sys.exit(0 if as_stated else "no longer so")
PY
exit 0

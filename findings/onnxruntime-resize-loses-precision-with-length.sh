#!/usr/bin/env bash
# onnxruntime 1.31.1 and openvino 2026.4.1: linear Resize along time is 37 dB at 8 s of audio and
# 19 dB at a minute, although every sample is an average of two.
#
# One would guess: linear interpolation in float32 is good to some 140 dB, at any length.
# What happens: the position in the input is a float32 too. At sample 1,000,000 float32 has steps
#   of 1/16, so the weight between two neighbours is known to 4 bits; past 16,777,216 (6 min 20 s)
#   there is no fraction left at all. The error is noise that grows towards the end. Both engines do
#   the same, in all coordinate modes; ratios that are powers of two happen to be exact.
# Why it matters: torch.nn.functional.interpolate(mode="linear") is how envelopes, f0 curves and
#   even whole signals are brought to another rate in exported audio graphs. A test on a
#   tenth of a second passes. Resize fixed short segments, or write the interpolation as a convolution.
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

model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 18]>
rate (float[1, 1, n] x, int64[3] sizes) => (float[1, 1, m] y) {
    y = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel"> (x, , , sizes)
}""")
onnx.save(model, "resize.onnx")
session = onnxruntime.InferenceSession("resize.onnx", providers=["CPUExecutionProvider"])
compiled = openvino.Core().compile_model("resize.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def snr(length):
    x = np.random.default_rng(0).standard_normal(length).astype(np.float32)
    out = length * 48000 // 44100
    position = np.clip((np.arange(out) + 0.5) * length / out - 0.5, 0, length - 1)
    exact = np.interp(position, np.arange(length), x)
    feeds = {"x": x[None, None], "sizes": np.array([1, 1, out], np.int64)}
    results = session.run(None, feeds)[0], compiled(list(feeds.values()))[0]
    return [float(round(10 * np.log10((exact**2).sum() / ((exact - y[0, 0]) ** 2).sum()))) for y in results]


figures = {length: snr(length) for length in (4410, 343980, 2646000)}
print("44.1 to 48 kHz, SNR in dB [onnxruntime, openvino] by samples:", figures)
as_stated = min(figures[4410]) > 65 and max(figures[343980]) < 45 and max(figures[2646000]) < 25
sys.exit(0 if as_stated else "no longer so")
PY
exit 0

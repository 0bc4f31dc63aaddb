"""Convolutions in bytes: milliseconds that each saves, and its error.

    python benchmarks/int8_convolutions.py FOLDED.onnx [--most 20]
        [--json benchmarks/results/int8_convolutions.json]

FOLDED.onnx is a waveform graph of ``--fold-weights``, whose kernels are initializers. Each of the slowest
convolutions becomes ``QuantizeLinear``, ``QLinearConv`` and ``DequantizeLinear``: signals unsigned, with one
static scale for each that is taken from the extremes on noise; weights signed, with one scale per channel.
Times are those of ONNX Runtime's profiler for the nodes of one convolution, the least of several runs; both
graphs run in turn. Errors are those of the graph with this convolution alone in bytes, against the graph
itself, on noise.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
from benchmark_machine import machine
from onnx import TensorProto, helper, numpy_helper

from onnx_demucs_compiler.checking.decibels import energy, error_energy, snr_db, to_mix_db
from onnx_demucs_compiler.checking.verification import artifact_metadata
from onnx_demucs_compiler.runtime.session import session_options

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Extremes = dict[str, tuple[float, float]]

RUNS = 4
STEPS = 127


def main() -> None:
    """Find the slowest, quantise them, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--most", type=int, default=20)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    metadata = artifact_metadata(arguments.artifact)
    model = onnx.load(arguments.artifact)
    shape = 1, metadata.audio_channels, metadata.segment
    mix = 0.1 * np.random.default_rng(0).standard_normal(shape, np.float32)
    convolutions = {node.name: node for node in model.graph.node if _is_plain(node, model)}
    extremes = _extremes(model, mix, convolutions.values())
    in_bytes = _quantised(model, convolutions, extremes)
    plain, fast = _milliseconds([model, in_bytes], mix)
    slowest = sorted(convolutions, key=lambda name: -plain[name])[: arguments.most]
    reference = _stems(model, mix)
    rows: dict[str, dict[str, Any]] = {}
    for name in slowest:
        stems = _stems(_quantised(model, {name: convolutions[name]}, extremes), mix)
        rows[name] = _row(convolutions[name], model, plain[name], fast[name], _errors(mix, reference, stems))
        print(name, rows[name], flush=True)
    everything = _stems(_quantised(model, {name: convolutions[name] for name in slowest}, extremes), mix)
    results: dict[str, Any] = machine() | {
        "model": metadata.model,
        "target": metadata.target,
        "convolutions": rows,
        "all_of_them": _errors(mix, reference, everything),
        "milliseconds": {
            "all in float32": round(sum(plain.values())),
            "all in bytes": round(sum(fast.values())),
        },
    }
    print(json.dumps(results, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def _is_plain(node: onnx.NodeProto, model: onnx.ModelProto) -> bool:
    known = {item.name for item in model.graph.initializer if item.data_type == TensorProto.FLOAT}
    return node.op_type == "Conv" and set(node.input[1:]) <= known


def _extremes(model: onnx.ModelProto, mix: Array, nodes: Any) -> Extremes:
    """The extremes of every signal around these nodes."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    names = sorted({name for node in nodes for name in (node.input[0], node.output[0])})
    for name in names:
        for operator in ("ReduceMin", "ReduceMax"):
            output = f"{name}.{operator}"
            copy.graph.node.append(helper.make_node(operator, [name], [output], keepdims=0))
            copy.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, []))
    _, *found = _session(copy).run(None, {"mix": mix})
    pairs = zip(names, found[::2], found[1::2], strict=True)
    return {name: (min(float(least), 0.0), max(float(most), 0.0)) for name, least, most in pairs}


def _quantised(
    model: onnx.ModelProto, nodes: dict[str, onnx.NodeProto], extremes: Extremes
) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    arrays = {item.name: item for item in copy.graph.initializer}
    made: list[onnx.NodeProto] = []
    for node in copy.graph.node:
        made += _in_bytes(node, arrays, copy, extremes) if node.name in nodes else [node]
    del copy.graph.node[:]
    copy.graph.node.extend(made)
    return copy


def _in_bytes(
    node: onnx.NodeProto, arrays: dict[str, onnx.TensorProto], model: onnx.ModelProto, extremes: Extremes
) -> list[onnx.NodeProto]:
    name, signal, result = node.name, node.input[0], node.output[0]

    def constant(suffix: str, value: Array) -> str:
        model.graph.initializer.append(numpy_helper.from_array(value, f"{name}.{suffix}"))
        return f"{name}.{suffix}"

    weight = numpy_helper.to_array(arrays[node.input[1]])
    peaks = np.abs(weight).max(axis=tuple(range(1, weight.ndim)), keepdims=True)
    scale = (np.maximum(peaks, 1e-12) / STEPS).astype(np.float32)
    step, zero = _step(extremes[signal])
    out_step, out_zero = _step(extremes[result])
    inputs = [
        f"{name}.u8", constant("step", step), constant("zero", zero),
        constant("s8", np.rint(weight / scale).astype(np.int8)), constant("scale", scale.ravel()),
        constant("none", np.zeros(len(weight), np.int8)),
        constant("out_step", out_step), constant("out_zero", out_zero),
    ]  # fmt: skip
    if len(node.input) > 2:
        bias = numpy_helper.to_array(arrays[node.input[2]]) / (step * scale.ravel())
        inputs.append(constant("bias", np.rint(bias).astype(np.int32)))
    attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    return [
        helper.make_node("QuantizeLinear", [signal, *inputs[1:3]], [inputs[0]], f"{name}.to_bytes"),
        helper.make_node("QLinearConv", inputs, [f"{name}.y"], f"{name}.in_bytes", **attributes),
        helper.make_node("DequantizeLinear", [f"{name}.y", *inputs[6:8]], [result], f"{name}.to_float"),
    ]


def _step(extremes: tuple[float, float]) -> tuple[Array, Array]:
    least, most = extremes
    step = np.float32(max(most - least, 1e-12) / 255)
    return np.asarray(step), np.asarray(np.rint(-least / step).astype(np.uint8))


def _session(model: onnx.ModelProto, profile: str = "") -> onnxruntime.InferenceSession:
    options = session_options()
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, profile
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _milliseconds(models: list[onnx.ModelProto], mix: Array) -> list[dict[str, float]]:
    """Times by convolution, of each graph, run in turn."""
    with tempfile.TemporaryDirectory() as folder:
        sessions = [_session(model, str(Path(folder) / str(index))) for index, model in enumerate(models)]
        for _ in range(1 + RUNS):
            for session in sessions:
                session.run(None, {"mix": mix})
        return [_least(json.loads(Path(session.end_profiling()).read_text())) for session in sessions]


def _least(events: list[dict[str, Any]]) -> dict[str, float]:
    taken: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if event["name"].endswith("_kernel_time"):
            taken[event["name"].removesuffix("_kernel_time")].append(event["dur"] / 1000)
    found: dict[str, float] = defaultdict(float)
    for name, durations in taken.items():
        found[re.sub(r"(_nchwc|\.to_bytes|\.in_bytes|\.to_float)+$", "", name)] += min(durations[1:])
    return found


def _stems(model: onnx.ModelProto, mix: Array) -> Array:
    stems: Array = _session(model).run(None, {"mix": mix})[0]
    return stems


def _errors(mix: Array, reference: Array, stems: Array) -> dict[str, float]:
    parts = [(reference[:, index], stems[:, index]) for index in range(reference.shape[1])]
    return {
        "snr_db": round(min(snr_db(*pair) for pair in parts), 1),
        "error_to_mix_db": round(max(to_mix_db(error_energy(*pair), energy(mix)) for pair in parts), 1),
    }


def _row(
    node: onnx.NodeProto, model: onnx.ModelProto, plain: float, fast: float, errors: dict[str, float]
) -> dict[str, Any]:
    kernel = next(list(item.dims) for item in model.graph.initializer if item.name == node.input[1])
    return {"kernel": kernel, "float_ms": round(plain, 1), "bytes_ms": round(fast, 1), **errors}


if __name__ == "__main__":
    main()

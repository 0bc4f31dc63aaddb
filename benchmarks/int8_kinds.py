"""Storage and use of weights in eight bits: size, SNR and speed.

    python benchmarks/int8_kinds.py htdemucs.onnx [--model untrained:htdemucs] [--rounds 5]
        [--json benchmarks/results/int8_kinds.json]

SNR is that of the worst stem on noise, against the artifact itself. All graphs run in turn, each in a process
of its own; seconds are medians.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from benchmark_machine import machine
from entrants import timed
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.verification import artifact_metadata
from onnx_demucs_compiler.graph.weights import weights_in
from onnx_demucs_compiler.loading import load_model

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from numpy.typing import NDArray

LARGE = 4096
STEPS = 127
FLOAT32 = "float32"


def main() -> None:
    """Quantise in each way, run in turn, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--model", help="what it was compiled from; the name in its metadata unless given")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    metadata = artifact_metadata(arguments.artifact)
    known = load_model(arguments.model or metadata.model).module.state_dict()
    initializers = onnx.load(arguments.artifact).graph.initializer
    weights = {item.name for item in initializers if weights_in(item.name, known)}
    with tempfile.TemporaryDirectory() as folder:
        files = {FLOAT32: arguments.artifact}
        for index, (name, quantise) in enumerate(KINDS.items()):
            files[name] = Path(folder) / f"{index}.onnx"
            quantise(arguments.artifact, files[name], weights)
        found, stems = timed(files, arguments.rounds)
        for name, row in found.items():
            row["bytes"] = files[name].stat().st_size
            if name != FLOAT32:
                row["snr_db"] = _worst_snr(stems[FLOAT32], stems[name])
    results: dict[str, Any] = machine() | {"model": metadata.model, "target": metadata.target, "kinds": found}
    print(json.dumps(results, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def _worst_snr(plain: NDArray[Any], quantised: NDArray[Any]) -> float:
    return round(min(snr_db(plain[:, stem], quantised[:, stem]) for stem in range(plain.shape[1])), 1)


def _dynamic(operator: str, kind: QuantType, source: Path, target: Path, weights: Container[str]) -> None:
    """Quantise by ONNX Runtime's own tool.

    Products of two signals stay as they are.
    """
    nodes = onnx.load(source).graph.node
    excluded = [node.name for node in nodes if node.op_type == operator and node.input[1] not in weights]
    quantize_dynamic(
        source, target, op_types_to_quantize=[operator], per_channel=True, weight_type=kind,
        nodes_to_exclude=excluded, extra_options={"MatMulConstBOnly": True},
    )  # fmt: skip


def _stored(source: Path, target: Path, weights: Container[str], *, folded: bool) -> None:
    """Store bytes with decoding nodes, which a runtime folds or keeps."""
    model = onnx.load(source)
    decoders: list[onnx.NodeProto] = []
    renamed: dict[str, str] = {}
    for item in list(model.graph.initializer):
        if item.name not in weights or np.prod(item.dims) < LARGE or len(item.dims) < 2:
            continue
        array = numpy_helper.to_array(item)
        axis = array.ndim - 1 if array.ndim == 2 else 0
        quantised, scale = _quantised(array, axis)
        name, scales, renamed[item.name] = item.name, f"{item.name}.scale", f"{item.name}.float32"
        item.CopyFrom(numpy_helper.from_array(quantised, name))
        model.graph.initializer.append(numpy_helper.from_array(scale if folded else scale.ravel(), scales))
        if folded:
            decoders.append(helper.make_node("Cast", [name], [f"{name}.cast"], to=onnx.TensorProto.FLOAT))
            decoders.append(helper.make_node("Mul", [f"{name}.cast", scales], [renamed[name]]))
        else:
            decoders.append(helper.make_node("DequantizeLinear", [name, scales], [renamed[name]], axis=axis))
    nodes = list(model.graph.node)
    for node in nodes:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    del model.graph.node[:]
    model.graph.node.extend([*decoders, *nodes])
    onnx.save(model, target)


def _quantised(array: NDArray[Any], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    others = tuple(each for each in range(array.ndim) if each != axis)
    scale = (np.abs(array).max(axis=others, keepdims=True) / STEPS).astype(np.float32)
    return np.rint(array / np.maximum(scale, 1e-30)).astype(np.int8), scale


KINDS: dict[str, Callable[[Path, Path, Container[str]], None]] = {
    "all weights, Cast and Mul": partial(_stored, folded=True),
    "all weights, DequantizeLinear": partial(_stored, folded=False),
    "products, MatMulInteger": partial(_dynamic, "MatMul", QuantType.QInt8),
    "convolutions, ConvInteger, signed weights": partial(_dynamic, "Conv", QuantType.QInt8),
    "convolutions, ConvInteger, unsigned weights": partial(_dynamic, "Conv", QuantType.QUInt8),
}

if __name__ == "__main__":
    main()

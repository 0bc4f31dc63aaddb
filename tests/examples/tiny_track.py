"""A tiny model as an artifact that takes whole tracks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tiny_model import KERNEL, TinyModel

OVERLAP = 0.25


def save_track(tiny: TinyModel, path: Path) -> Path:
    """Each stem is a convolution of the whole mix."""
    names = ["mix", "stems"]
    shapes = [[tiny.channels, "samples"], [len(tiny.sources), tiny.channels, "samples"]]
    mix, stems = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip(names, shapes, strict=True)
    )
    graph = helper.make_graph(
        [
            helper.make_node("Unsqueeze", ["mix", "zero"], ["one"]),
            helper.make_node("Conv", ["one", "kernel"], ["filtered"], pads=[KERNEL // 2] * 2),
            helper.make_node("Reshape", ["filtered", "shape"], ["stems"]),
        ],
        "tiny-track",
        [mix],
        [stems],
        [
            numpy_helper.from_array(np.array([0]), "zero"),
            numpy_helper.from_array(tiny.kernel, "kernel"),
            numpy_helper.from_array(np.array([len(tiny.sources), tiny.channels, -1]), "shape"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, replace(tiny.metadata, overlap=OVERLAP).to_props())
    onnx.save(model, path)
    return path

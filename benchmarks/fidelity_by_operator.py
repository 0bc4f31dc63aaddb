"""The loss of accuracy by operator, against PyTorch's own float32.

    python benchmarks/fidelity_by_operator.py HTDEMUCS.onnx [--json FILE]

The graph is evaluated in float64 except for one group of nodes, which ONNX Runtime computes in float32:
the SNR against the graph all in float64 is what that group alone costs. Errors of different groups are
independent, so that their powers add up to about the whole.
"""

from __future__ import annotations

import argparse
import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from float64_graph import Float64Graph

from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.fidelity import probe_signals, run_eager
from onnx_demucs_compiler.checking.verification import artifact_metadata, load_artifact
from onnx_demucs_compiler.loading import load_model

if TYPE_CHECKING:
    import numpy as np
    from onnx import NodeProto

MOVES = {"Cast", "Concat", "ConstantOfShape", "Expand", "Gather", "Identity", "Pad", "Reshape", "Slice",
         "Split", "Squeeze", "Transpose", "Unsqueeze"}  # fmt: skip
SPECTRAL = {"stft-as-matmul", "istft-as-matmul", "complex-as-real-pairs"}
NORMS = {"group-norm-in-stages", "group-norm-of-projection", "layer-norm-in-stages", "mean-in-stages",
         "std-in-stages"}  # fmt: skip
ATTENTION = {"attention-as-matmul", "attention-in-query-blocks"}


def group_of(node: NodeProto) -> str:
    """A node's group: a family of rules, or a model's operator."""
    rule = node.name.partition("/")[0]
    if rule in SPECTRAL:
        return "STFT and inverse STFT"
    if rule in NORMS:
        return "norms over long rows"
    if rule in ATTENTION:
        return "attention"
    if node.op_type in MOVES:
        return "moving data"
    if node.op_type in ("MatMul", "Gemm"):
        return "linear layers"
    if node.op_type in ("Add", "Sub", "Mul", "Div", "Pow", "Sqrt"):
        return "elementwise arithmetic"
    return node.op_type


def main() -> None:
    """Print the SNR of the worst stem for each group, worst first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    source = load_model(artifact_metadata(arguments.artifact).model)
    [mix] = probe_signals(source.example(), source.sample_rate)["noise"]
    wanted = run_eager(copy.deepcopy(source.module).double(), (mix.double(),))[0]
    graph = Float64Graph(load_artifact(arguments.artifact))
    exact = graph.run(mix.numpy(), lambda _: False)
    found: dict[str, Any] = {
        "PyTorch float32": _worst(wanted, run_eager(source.module, (mix,))[0]),
        "constants rounded to float32": _worst(wanted, exact),
    }
    for group in sorted({group_of(node) for node in graph.model.graph.node}):
        alone = graph.run(mix.numpy(), lambda node, group=group: group_of(node) == group)
        found[group] = _worst(exact, alone)
        print(f"{found[group]:6.1f} dB  {group}", flush=True)
    found["all of them"] = _worst(exact, graph.run(mix.numpy(), lambda _: True))
    print(json.dumps(found, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


def _worst(reference: np.ndarray, output: np.ndarray) -> float:
    stems = range(reference.shape[1])
    return round(min(snr_db(reference[:, stem], output[:, stem]) for stem in stems), 1)


if __name__ == "__main__":
    main()

"""Probes: a small model for each form of an operator.

They are ONNX text in probes.json.

    python benchmarks/engines/probes.py MODEL.onnx ...

adds a probe for every form (:mod:`onnx_demucs_compiler.contracts.forms`) in the models that has none. What
the text declares and no node makes is a constant under a seed. Loops are written by hand.
"""

from __future__ import annotations

import argparse
import json
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, parser, printer

from onnx_demucs_compiler.contracts.artifact import AI_ONNX
from onnx_demucs_compiler.contracts.engine import UNPROBED
from onnx_demucs_compiler.contracts.forms import CONTROL_FLOW, OPEN, REAL, Facts, forms
from onnx_demucs_compiler.contracts.reading import described, read_artifact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from onnx_demucs_compiler.contracts.artifact import Artifact, Node

FILE = Path(__file__).with_name("probes.json")
OPSET, IR = 18, 8
LARGEST = 2**20


def main() -> None:
    """Add the probes that are missing."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("models", nargs="+", type=Path, metavar="MODEL.onnx")
    known = probes()
    for path in arguments.parse_args().models:
        for form, text in extracted(path).items():
            if form not in known:
                known[form] = text
                print(form)
    FILE.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n", encoding="utf-8")


def probes() -> dict[str, str]:
    """The text of each probe, by its form."""
    found: dict[str, str] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    return found


def model_of(text: str) -> onnx.ModelProto:
    """A probe's model, its constants filled in."""
    graph = parser.parse_graph(f"probe {text}")
    made = {name for node in graph.node for name in node.output}
    declared = [value for value in graph.value_info if value.name not in made]
    del graph.value_info[:]
    random = np.random.default_rng(0)
    for value in declared:
        kind, shape = value.type.tensor_type.elem_type, _shape(value)
        array = _numbers(random, shape, helper.tensor_dtype_to_np_dtype(kind))
        graph.initializer.append(numpy_helper.from_array(array, value.name))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def feeds_of(model: onnx.ModelProto) -> dict[str, NDArray[np.float32]]:
    """Its inputs under a seed, none negative where a root is taken."""
    random = np.random.default_rng(1)
    roots = any(node.op_type == "Sqrt" for node in model.graph.node)
    feeds = {value.name: _numbers(random, _shape(value), np.float32) for value in model.graph.input}
    return {name: np.abs(value) if roots else value for name, value in feeds.items()}


def _numbers(random: np.random.Generator, shape: tuple[int, ...], kind: np.dtype) -> NDArray:
    if np.issubdtype(kind, np.integer):
        return random.integers(-100, 100, shape).astype(kind)
    return random.standard_normal(shape).astype(kind)


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(size.dim_value for size in value.type.tensor_type.shape.dim)


def extracted(path: Path) -> dict[str, str]:
    """A probe for each form in a model: its largest small node."""
    artifact = read_artifact(path)
    protos = {name: node for node in _nodes(onnx.load(path).graph) for name in node.output if name}
    found = {}
    for form, nodes in forms(artifact).items():
        if form in UNPROBED | {OPEN} or nodes[0].op in CONTROL_FLOW or nodes[0].domain != AI_ONNX:
            continue
        nodes.sort(key=partial(_bytes, artifact))
        small = [node for node in nodes if _bytes(artifact, node) <= LARGEST]
        ordered = [*reversed(small), *nodes[len(small) :]]
        text = next(filter(None, (_text(artifact, protos, node) for node in ordered)), None)
        if text is not None and form in forms(described(model_of(text), 0)):
            found[form] = text
    return found


def _nodes(graph: onnx.GraphProto) -> Iterable[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            yield from _nodes(attribute.g)


def _bytes(artifact: Artifact, node: Node) -> int:
    values = [artifact.find(name) for name in (*node.inputs, *node.outputs) if name]
    return sum(value.bytes or 0 for value in values if value)


def _text(artifact: Artifact, protos: dict[str, onnx.NodeProto], node: Node) -> str | None:
    """A node as a model; None where its constants are computed."""
    facts = Facts(artifact)
    chain = _with_producers(facts, protos, protos[next(filter(None, node.outputs))])
    made = {name for each in chain for name in each.output}
    names = dict.fromkeys(name for each in chain for name in each.input if name and name not in made)
    inputs, constants, numbers = [], [], []
    for name in names:
        value = artifact.find(name)
        if name in artifact.numbers:
            numbers.append(helper.make_tensor(name, TensorProto.INT64, value.shape, artifact.numbers[name]))
        elif value is None or (value.type not in REAL and name not in artifact.weights):
            return None
        else:
            kind = TensorProto.DataType.Value(value.type.upper())
            ports = constants if name in facts.constants else inputs
            ports.append(helper.make_tensor_value_info(name, kind, value.shape))
    results = [name for name in chain[-1].output if name]
    outputs = [_port(artifact, name) for name in results]
    if not inputs:  # what engines fold would not be asked
        [value] = outputs
        inputs, outputs = [_port(artifact, value.name, "x")], [_port(artifact, value.name, "y")]
        chain = [*chain, helper.make_node("Add", ["x", value.name], ["y"])]
    graph = helper.make_graph(chain, "probe", inputs, outputs, numbers, value_info=constants)
    return _in_one_line(_renamed(graph))


def _with_producers(
    facts: Facts, protos: dict[str, onnx.NodeProto], node: onnx.NodeProto
) -> list[onnx.NodeProto]:
    """A node, behind those that make other than real numbers for it."""
    others = [name for name in node.input if name in protos and name not in facts.constants]
    computed = [protos[name] for name in others if facts.type(name) not in REAL]
    return [*(each for before in computed for each in _with_producers(facts, protos, before)), node]


def _port(artifact: Artifact, name: str, called: str = "") -> onnx.ValueInfoProto:
    value = artifact.find(name)
    kind = TensorProto.DataType.Value(value.type.upper())
    return helper.make_tensor_value_info(called or name, kind, value.shape)


def _renamed(graph: onnx.GraphProto) -> onnx.GraphProto:
    """Values as short names, nodes without."""
    values = (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
    names = [
        *(value.name for value in values),
        *(name for node in graph.node for name in node.output if name),
    ]
    short = {name: f"v{index}" for index, name in enumerate(dict.fromkeys(names))}
    for value in values:
        value.name = short[value.name]
    for node in graph.node:
        node.ClearField("name")
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
        for side in (node.input, node.output):
            side[:] = [short.get(name, name) for name in side]
    return graph


def _in_one_line(graph: onnx.GraphProto) -> str:
    text = " ".join(printer.to_text(graph).split()).removeprefix("probe ")
    return re.sub(r" ([(),<>\]}])|([(<\[{]) ", r"\1\2", re.sub(r": (?:ints?|floats?|string) =", " =", text))


if __name__ == "__main__":
    main()

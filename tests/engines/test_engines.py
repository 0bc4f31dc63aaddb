"""A small HTDemucs in each engine in build/engines, and what the engine's contract says of it."""

from pathlib import Path

import onnx
import pytest
from environments import installed
from onnx import parser
from small_model import SAMPLES, small_model

from onnx_demucs_compiler import compile
from onnx_demucs_compiler.checking.other_engine import compare
from onnx_demucs_compiler.contracts import lint
from onnx_demucs_compiler.engines import ENGINES
from onnx_demucs_compiler.engines.process import EngineError

PORTS = f"planted (float[1,2,{SAMPLES}] mix) => (float[1,2,{SAMPLES}] heard)"
FILL = f"""{PORTS} <int64[3] size = {{1,2,{SAMPLES}}}>
{{
    zeros = ConstantOfShape(size)
    heard = Add(mix, zeros)
}}"""
SCAN = f"""{PORTS} <float none = {{0}}, float[1] first = {{0}}>
{{
    silence = Mul(mix, none)
    outer = ReduceSum<keepdims = 0>(silence)
    last, heard = Scan<num_scan_inputs = 1, body = step
        (float[1] state, float[2,{SAMPLES}] row) => (float[1] next, float[2,{SAMPLES}] out)
        {{ next = Add(state, outer) out = Add(row, outer) }}>(first, mix)
}}"""
PLANTED = {"openvino": SCAN, "tract": FILL, "opencv": FILL, "mnn": FILL}
"""What computes the mix again, in a form that the engine refuses or mistakes; IREE takes both."""


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return compile(small_model(), verify=False).model


def planted(model: onnx.ModelProto, text: str) -> onnx.ModelProto:
    """A copy that hears the mix by way of other nodes."""
    copy, graph = onnx.ModelProto(), parser.parse_graph(text)
    copy.CopyFrom(model)
    for node in copy.graph.node:
        node.input[:] = ["heard" if name == "mix" else name for name in node.input]
    for node in graph.node:
        node.name = f"planted/{node.op_type}"
    nodes = [*graph.node, *copy.graph.node]
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    copy.graph.initializer.extend(graph.initializer)
    onnx.checker.check_model(copy)
    return copy


def broken(path: Path, engine: str) -> list[str]:
    return [str(finding) for finding in lint(path, [engine])[engine] if finding.breaks]


def works(path: Path, engine: str) -> bool:
    """Whether the engine runs the file and is right."""
    try:
        comparison = compare(path, ENGINES[engine], rounds=1)
    except EngineError:
        return False
    return comparison.worst.gated_db >= comparison.min_snr_db


@pytest.mark.parametrize("engine", ENGINES)
def test_the_compiled_file_is_right(engine: str, model: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(model, tmp_path / "x.onnx")
    assert broken(tmp_path / "x.onnx", installed(engine)) == []
    assert works(tmp_path / "x.onnx", engine)


@pytest.mark.parametrize("engine", PLANTED)
def test_a_planted_edit_is_caught_twice(engine: str, model: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(planted(model, PLANTED[installed(engine)]), tmp_path / "x.onnx")
    assert any("planted/" in line for line in broken(tmp_path / "x.onnx", engine))
    assert not works(tmp_path / "x.onnx", engine)

"""Code of graphs is written when it is read, and is then that of the graph as it is."""

import copy
import inspect

import pytest
import torch
from torch.fx import GraphModule, symbolic_trace

from onnx_demucs_compiler.tracing import graph_code
from onnx_demucs_compiler.tracing.graph_code import code_when_read


def plus(x: torch.Tensor) -> torch.Tensor:
    return x + 2


def twice(module: GraphModule) -> GraphModule:
    """The graph with its sum made a product."""
    [node] = [node for node in module.graph.nodes if node.op == "call_function"]
    node.target = torch.mul
    module.recompile()
    return module


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[GraphModule]:
    """The modules whose code is written, in order."""
    found: list[GraphModule] = []
    write = graph_code._write_code
    monkeypatch.setattr(graph_code, "_write_code", lambda module: (found.append(module), write(module))[1])
    return found


def test_a_change_is_run(written: list[GraphModule]) -> None:
    with code_when_read():
        module = twice(symbolic_trace(plus))
        assert written == []
        assert module(torch.tensor(5)) == 10
        assert module(torch.tensor(6)) == 12
    assert written == [module]


def test_a_change_after_a_run_is_run() -> None:
    with code_when_read():
        module = symbolic_trace(plus)
        assert module(torch.tensor(5)) == 7
        assert twice(module)(torch.tensor(5)) == 10


def test_a_change_is_printed() -> None:
    with code_when_read():
        module = twice(symbolic_trace(plus))
        assert "torch.mul" in str(module)
        assert "torch.mul" in module.code
        assert list(inspect.signature(twice(symbolic_trace(plus)).forward).parameters) == ["x"]


def test_copies_have_code_of_their_own() -> None:
    with code_when_read():
        module = symbolic_trace(plus)
        other = twice(copy.deepcopy(module))
        assert (module(torch.tensor(5)), other(torch.tensor(5))) == (7, 10)


def test_afterwards_code_is_written_at_once() -> None:
    write = GraphModule.recompile
    with code_when_read():
        late = symbolic_trace(plus)
    with pytest.raises(ZeroDivisionError), code_when_read():
        1 / 0  # noqa: B018
    assert GraphModule.recompile is write
    assert late(torch.tensor(5)) == 7
    assert "_code" in vars(twice(late))

"""torch.onnx takes apart single nodes, and makes the graph that a trace of the whole program gives it."""

from collections.abc import Callable
from typing import Any

import kept_builds
import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.onnx._internal.exporter import _fx_passes

from onnx_demucs_compiler import compile
from onnx_demucs_compiler.tracing import decompositions
from onnx_demucs_compiler.tracing.decompositions import decomposed_node_by_node
from onnx_demucs_rules.examples import plain_htdemucs


class Calls(nn.Module):
    """A module that calls a function; the weight is for what needs one."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function, self.weight = function, nn.Parameter(torch.randn(4, 3, 5), requires_grad=False)

    def forward(self, x: Tensor) -> Any:
        return self.function(x, self.weight)


def in_place(x: Tensor, weight: Tensor) -> Tensor:
    y = x.clone()
    y[:, 0] = 1
    return y


def known(x: Tensor, weight: Tensor) -> Tensor:
    return torch.sigmoid(x * 2) @ x.transpose(1, 2)


def composites(x: Tensor, weight: Tensor) -> Tensor:
    return x.movedim(1, 2).reshape(x.shape[0], -1, 4).unflatten(1, (2, 3)).narrow(3, 1, 2) + x.std(
        dim=(0, 1, 2)
    )


def transposed(x: Tensor, weight: Tensor) -> Tensor:
    return nn.functional.conv_transpose1d(x, weight).mT


def several_results(x: Tensor, weight: Tensor) -> Tensor:
    values, _ = torch.aminmax(x, dim=1)
    return values


FUNCTIONS = [known, composites, transposed, in_place, several_results]
OPEN = {"batch": torch.export.Dim("batch", min=2, max=16)}


def program_of(function: Callable[..., Any], *, is_open: bool = False) -> ExportedProgram:
    shapes = ({0: OPEN["batch"]},) if is_open else None
    return torch.export.export(Calls(function).eval(), (torch.randn(2, 4, 6),), dynamic_shapes=shapes)


def exported(program: ExportedProgram) -> ir.Model:
    made = torch.onnx.export(program, dynamo=True, optimize=False, verbose=False)
    assert made is not None
    return made.model


def nodes_of(model: ir.Model) -> list[tuple[str, list[str | None], list[str | None], list[str]]]:
    return [
        (
            node.op_type,
            [value.name if value is not None else None for value in node.inputs],
            [value.name for value in node.outputs],
            [f"{value.type} {value.shape}" for value in node.outputs],
        )
        for node in model.graph.all_nodes()
    ]


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> list[ExportedProgram]:
    """The programs that were traced as a whole."""
    found: list[ExportedProgram] = []
    by_trace = decompositions._decompose_for_onnx

    def watched(program: ExportedProgram, registry: Any) -> ExportedProgram:
        found.append(program)
        return by_trace(program, registry)

    monkeypatch.setattr(decompositions, "_decompose_for_onnx", watched)
    return found


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_it_is_the_graph_of_a_trace(function: Callable[..., Any]) -> None:
    program = program_of(function)
    wanted = nodes_of(exported(program))
    with decomposed_node_by_node():
        assert nodes_of(exported(program)) == wanted


@pytest.mark.parametrize(
    ("function", "times"),
    [(known, 0), (composites, 0), (transposed, 0), (in_place, 1)],
)
def test_a_program_is_traced_where_nodes_alone_do_not_do(
    function: Callable[..., Any], times: int, traces: list[ExportedProgram]
) -> None:
    with decomposed_node_by_node():
        exported(program_of(function))
    assert len(traces) == times


def test_a_program_of_open_sizes_is_traced(traces: list[ExportedProgram]) -> None:
    with decomposed_node_by_node():
        exported(program_of(composites, is_open=True))
    assert len(traces) == 1


def test_an_input_keeps_its_name() -> None:
    """Linear calls it ``input``, as Python does a function, and torch.fx would call it otherwise."""
    program = torch.export.export(nn.Linear(3, 2), (torch.randn(1, 3),))
    wanted = nodes_of(exported(program))
    with decomposed_node_by_node():
        assert nodes_of(exported(program)) == wanted


def test_the_program_stays_as_it_is() -> None:
    program = program_of(composites)
    before = str(program)
    with decomposed_node_by_node():
        exported(program)
    assert str(program) == before


def test_nodes_know_the_line_that_they_come_from() -> None:
    with decomposed_node_by_node():
        model = exported(program_of(transposed))
    [convolution] = [node for node in model.graph if node.op_type == "ConvTranspose"]
    assert "in forward" in convolution.metadata_props["pkg.torch.onnx.stack_trace"]


def test_a_demucs_is_not_traced_as_a_whole(traces: list[ExportedProgram]) -> None:
    kept_builds.forget_builds()
    compile(plain_htdemucs(), verify=False)
    assert traces == []


def test_afterwards_torch_traces_again() -> None:
    before = _fx_passes.decompose_with_registry
    with decomposed_node_by_node():
        assert _fx_passes.decompose_with_registry is not before
    assert _fx_passes.decompose_with_registry is before

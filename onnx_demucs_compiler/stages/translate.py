"""TRANSLATE: ATen to ONNX, by torch.onnx with the rules' translations."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import onnx_ir as ir
import torch

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.rules.rule import RULE_KEY
from onnx_demucs_compiler.tracing.source import origin_in_program

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch.export import ExportedProgram
    from torch.fx import Node

    from onnx_demucs_compiler.report import Recorder
    from onnx_demucs_compiler.rules.rule import Rule


def to_onnx(
    program: ExportedProgram,
    rules: tuple[Rule, ...],
    opset: int,
    recorder: Recorder,
    input_names: Sequence[str],
    output_names: Sequence[str] = (),
) -> ir.Model:
    """Translate a program that holds no complex value.

    Args:
        program: the lowered program.
        rules: translation rules, at most one for each operator.
        opset: version of ``ai.onnx``.
        recorder: told of every firing and refusal, and of the nodes that each rule made.
        input_names: what to call the graph's inputs.
        output_names: what to call its outputs; torch.onnx finds names where there are none.

    Returns:
        The model as torch.onnx emits it, unoptimised, each node that a rule made carrying its name in
        ``metadata_props["onnx_demucs.rule"]``.

    Raises:
        CompilerError: torch.onnx has no translation for an operator.
    """
    table: dict[Any, Callable[..., Any]] = {}
    for rule in rules:
        with recorder.running(rule):
            nodes = [node for node in program.graph.nodes if node.target in rule.ops]
            if not _refused(rule, nodes, recorder):
                table |= dict.fromkeys(rule.ops, rule.implementation)
                for node in nodes:
                    recorder.fired(rule, origin_in_program(node))
    model = _export(program, table, opset, input_names, output_names)
    by_op = {op: rule for rule in rules for op in rule.ops if op in table}
    made: Counter[str] = Counter()
    for node in model.graph.all_nodes():
        if name := _made_by(node.meta.get("node"), by_op):
            node.metadata_props[RULE_KEY] = name
            made[name] += 1
    for rule in rules:
        if fires := recorder.fires(rule.name):
            recorder.cost(rule).nodes = made[rule.name] - fires
    return model


def _refused(rule: Rule, nodes: list[Node], recorder: Recorder) -> bool:
    refusals = [(node, rule.guard(node)) for node in nodes] if rule.guard else []
    for node, refusal in refusals:
        if refusal is not None:
            recorder.refused(rule, origin_in_program(node), refusal.reason)
    return any(refusal for _, refusal in refusals)


def _made_by(node: Node | None, by_op: dict[Any, Rule]) -> str | None:
    if node is None:
        return None
    if node.target in by_op:
        return by_op[node.target].name
    name: str | None = (node.meta.get("custom") or {}).get(RULE_KEY)
    return name


def _export(
    program: ExportedProgram,
    table: dict[Any, Callable[..., Any]],
    opset: int,
    input_names: Sequence[str],
    output_names: Sequence[str],
) -> ir.Model:
    try:
        exported = torch.onnx.export(
            program,
            dynamo=True,
            input_names=input_names,
            output_names=output_names or None,
            opset_version=opset,
            optimize=False,
            verbose=False,
            custom_translation_table=table or None,
        )
    except torch.onnx.errors.OnnxExporterError as error:
        raise CompilerError(f"torch.onnx cannot translate the model: {_cause(error)}") from error
    assert exported is not None
    return exported.model


def _cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:400]


def name_open_axes(model: ir.Model, axes: Sequence[dict[int, str]]) -> None:
    """Rename the open sizes, which torch.onnx names arbitrarily, in place.

    Args:
        model: the graph.
        axes: for each input, the axes that are open and what to call their sizes.
    """
    names = {
        str(value.shape[axis]): name
        for value, open_axes in zip(model.graph.inputs, axes, strict=True)
        for axis, name in open_axes.items()
        if value.shape is not None
    }
    if not names:
        return
    for value in [*model.graph.inputs, *(out for node in model.graph.all_nodes() for out in node.outputs)]:
        if value.shape is not None:
            value.shape = ir.Shape([_renamed(size, names) for size in value.shape])


def _renamed(size: int | ir.SymbolicDim, names: dict[str, str]) -> int | ir.SymbolicDim:
    return ir.SymbolicDim(names[str(size)]) if str(size) in names else size

"""DECOMPOSE: ATen to ATen, by a traced run through the rules.

An interpreter walks the program. Where a rule claims a node it calls the rule instead of the operator;
complex values travel as :class:`ComplexPair`. A second ``torch.export`` of that walk is a program in
which every value is real and every operator known to torch.onnx.
"""

from __future__ import annotations

import operator
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.fx.traceback
import torch.utils._pytree as pytree
from torch._dynamo.exc import UserError
from torch.fx import Interpreter, Node

from onnx_demucs_compiler.errors import CompilerError, first_line
from onnx_demucs_compiler.rules.complex_pair import ComplexPair
from onnx_demucs_compiler.rules.rule import RULE_KEY, Refusal
from onnx_demucs_compiler.rules.site import Site
from onnx_demucs_compiler.stages.composites import in_primitives
from onnx_demucs_compiler.stages.constants import (
    ComplexName,
    evaluate_static,
    only_for_constants,
    store_constants,
)
from onnx_demucs_compiler.stages.memory_layout import BY_ELEMENTS
from onnx_demucs_compiler.tracing.source import called_at, failures_named, origin_in_program

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch.export import ExportedProgram
    from torch.fx import Graph, GraphModule

    from onnx_demucs_compiler.report import Recorder
    from onnx_demucs_compiler.rules.rule import Rule
    from onnx_demucs_compiler.stages.constants import ConstantName

ASSERTIONS = (torch.ops.aten._assert_tensor_metadata.default,)
"""Of torch.export's own, about dtypes that the lowered program does not have."""

LIFTED = "lifted_tensor"
"""How torch.export begins the names of constants that the model has no name for."""


def lower(
    program: ExportedProgram,
    rules: tuple[Rule, ...],
    recorder: Recorder,
    dynamic_shapes: tuple[dict[int, Any], ...] | None = None,
    *,
    trusted: bool = False,
) -> ExportedProgram:
    """Apply decomposition rules to a program.

    Args:
        program: an exported program; it is not changed.
        rules: decomposition rules in order; for each node the first that does not refuse wins.
        recorder: told of every firing and refusal, and of the nodes that each rule added.
        dynamic_shapes: what the program was exported with.
        trusted: whether what torch.export cannot prove of open sizes holds.

    Returns:
        A program without complex values, whose nodes keep the source lines of the model and, where a
        rule made them, its name in ``node.meta["custom"]``.

    Raises:
        CompilerError: a complex value reaches an operator that no rule lowers, or a model output; or a size
            that is to stay open is needed as a number.
        InternalError: an operator or a rule fails.
    """
    # Functional first: behind an operator that writes in place, what is static could not be told.
    claimed = {op for rule in rules for op in rule.ops}
    module = in_primitives(program, claimed).module(check_guards=False)
    _forget_writes(module.graph)
    _forget_origins(module.graph)
    _rename_constants(module)
    args, kwargs = program.example_inputs
    walk = _Lowered(module, rules, recorder)
    shapes = None if dynamic_shapes is None else {"args": dynamic_shapes}
    try:
        lowered = torch.export.export(
            walk,
            args,
            kwargs,
            dynamic_shapes=shapes,
            strict=False,
            prefer_deferred_runtime_asserts_over_guards=trusted,
        )
    except UserError as error:
        raise CompilerError(f"torch.export cannot leave the shapes open: {first_line(error)}") from error
    _count_nodes(lowered, rules, recorder)
    _forget_origins(lowered.graph)
    return lowered


def _forget_origins(graph: Graph) -> None:
    """Drop torch.fx's record of ancestors, which every trace would deep-copy."""
    for node in graph.nodes:
        node.meta.pop("from_node", None)


def _forget_writes(graph: Graph) -> None:
    """Drop the copies to buffers and inputs at a program's end.

    A graph keeps nothing between calls.
    """
    for node in graph.find_nodes(op="call_function", target=torch.ops.aten.copy_.default):
        node.replace_all_uses_with(node.args[1])
        graph.erase_node(node)


def _rename_constants(module: GraphModule) -> None:
    """Rename a trace's constants apart from those of the next trace.

    It does not look whether a name is taken by another constant, and a program with two of one name ends in
    ``AttributeError``.
    """
    for node in module.graph.find_nodes(op="get_attr"):
        folder, _, name = node.target.rpartition(".")
        if not name.startswith(LIFTED):
            continue
        owner, other = module.get_submodule(folder), name.replace(LIFTED, "constant_tensor")
        node.target = f"{folder}.{other}".lstrip(".")
        if hasattr(owner, name):
            setattr(owner, other, getattr(owner, name))
            delattr(owner, name)


class _Lowered(torch.nn.Module):
    """A graph with rules applied as it runs; weights keep their names."""

    def __init__(self, module: GraphModule, rules: tuple[Rule, ...], recorder: Recorder) -> None:
        super().__init__()
        self.lowering = _Lowering(module, rules, recorder)
        self._modules, self._parameters, self._buffers = module._modules, module._parameters, module._buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        with torch.fx.traceback.preserve_node_meta():
            leaves = pytree.arg_tree_leaves(*args, **kwargs)
            return self.lowering.run(*leaves, enable_io_processing=False)


class _Lowering(Interpreter):
    """Runs a graph, handing each claimed node to its rules."""

    def __init__(self, module: GraphModule, rules: tuple[Rule, ...], recorder: Recorder) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.extra_traceback = False
        self.recorder = recorder
        self.claims: dict[Any, list[Rule]] = defaultdict(list)
        for rule in rules:
            for op in rule.ops:
                self.claims[op].append(rule)
        static = evaluate_static(module)
        self.constants = store_constants(module, static)
        self.unneeded = only_for_constants(module, static, self.constants)
        claimed = (node for node in module.graph.nodes if node.target in self.claims)
        self.sites = {node: Site(node, _static_arguments(node, static), self._lowered) for node in claimed}

    def run_node(self, node: Node) -> Any:
        if node in self.constants:
            return self._constant(self.constants[node])
        if node in self.unneeded:
            return None
        self.node = node
        with failures_named(node, f"{node.target} cannot be lowered"):
            return super().run_node(node)

    def _lowered(self, node: Node) -> Any:
        return self.env[node]

    def _constant(self, name: ConstantName) -> Any:
        if isinstance(name, ComplexName):
            return ComplexPair(getattr(self.module, name.real), getattr(self.module, name.imag))
        return getattr(self.module, name)

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for rule in self.claims.get(target, ()):
            result = self._apply(rule, args, kwargs)
            if result is not NotImplemented:
                return result
        if target in ASSERTIONS:
            return None
        if target is not operator.getitem and _holds_pair((args, kwargs)):
            raise _no_rule(self.node)
        if target in BY_ELEMENTS:
            return BY_ELEMENTS[target](self.node, *args, **kwargs)
        result = super().call_function(target, args, kwargs)
        if any(isinstance(leaf, torch.Tensor) and leaf.is_complex() for leaf in pytree.tree_leaves(result)):
            raise _no_rule(self.node)
        return result

    def _apply(self, rule: Rule, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with (
            self.recorder.running(rule),
            torch.fx.traceback.annotate({RULE_KEY: rule.name}),
            failures_named(self.node, f"rule {rule.name} fails on {self.node.target}"),
        ):
            result = rule.implementation(self.sites[self.node], *args, **kwargs)
        if isinstance(result, Refusal):
            self.recorder.refused(rule, origin_in_program(self.node), result.reason)
            return NotImplemented
        if result is not NotImplemented:
            self.recorder.fired(rule, origin_in_program(self.node))
        return result

    def output(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if _holds_pair(args):
            raise CompilerError(
                "the model returns a complex tensor, which ONNX cannot carry; return torch.view_as_real of it"
            )
        structure = cast("pytree.TreeSpec", self.module._out_spec)
        return structure.unflatten(super().output(target, args, kwargs))


def _static_arguments(node: Node, static: Mapping[Node, Any]) -> dict[str, NDArray[Any]]:
    overload = cast("torch._ops.OpOverload[..., Any]", node.target)
    names = [argument.name for argument in overload._schema.arguments]
    given = dict(zip(names, node.args, strict=False)) | node.kwargs
    values = {name: static.get(argument) for name, argument in given.items() if isinstance(argument, Node)}
    return {name: value.detach().numpy() for name, value in values.items() if isinstance(value, torch.Tensor)}


def _holds_pair(values: Any) -> bool:
    return any(isinstance(leaf, ComplexPair) for leaf in pytree.tree_leaves(values))


def _no_rule(node: Node) -> CompilerError:
    return CompilerError(
        f"no rule lowers {node.target} on a complex tensor, and ONNX has no complex dtype; {called_at(node)}"
    )


def _count_nodes(program: ExportedProgram, rules: tuple[Rule, ...], recorder: Recorder) -> None:
    made = Counter((node.meta.get("custom") or {}).get(RULE_KEY) for node in program.graph.nodes)
    for rule in rules:
        if fires := recorder.fires(rule.name):
            recorder.cost(rule).nodes = made[rule.name] - fires

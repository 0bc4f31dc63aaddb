"""DECOMPOSE: ATen to ATen, by running the exported program through the rules and tracing it again.

An interpreter walks the program. Where a rule claims a node it calls the rule instead of the operator;
complex values travel as :class:`ComplexPair`. A second ``torch.export`` of that walk is a program in
which every value is real and every operator known to torch.onnx.
"""

from __future__ import annotations

import operator
import types
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.fx.traceback
import torch.utils._pytree as pytree
from torch.fx import Interpreter, Node

from onnx_demucs_compiler.complex_pair import ComplexPair
from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.rule import Refusal
from onnx_demucs_compiler.stages.constants import evaluate_static, store_constants

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch.export import ExportedProgram
    from torch.fx import GraphModule

    from onnx_demucs_compiler.report import Recorder
    from onnx_demucs_compiler.rule import Rule
    from onnx_demucs_compiler.stages.constants import ConstantName

RULE_KEY = "onnx_demucs.rule"


@dataclass(frozen=True)
class Site:
    """The node a rule is asked to lower.

    Attributes:
        node: the node of the exported program.
        static: those of the node's tensor arguments that no model input reaches, by schema name, as
            concrete values; a rule that needs numbers (a window, say) takes them from here.
    """

    node: Node
    static: Mapping[str, torch.Tensor]

    @property
    def op(self) -> Any:
        """The ATen overload that the node calls."""
        return self.node.target

    @property
    def result(self) -> Any:
        """The result the operator would have had: a fake tensor, with shape and dtype but no data."""
        return self.node.meta["val"]


def lower(program: ExportedProgram, rules: tuple[Rule, ...], recorder: Recorder) -> ExportedProgram:
    """Apply decomposition rules to a program.

    Args:
        program: an exported program; it is not changed.
        rules: decomposition rules in order; for each node the first that does not refuse wins.
        recorder: told of every firing and refusal, and of the nodes that each rule added.

    Returns:
        A program without complex values, whose nodes keep the source lines of the model and, where a
        rule made them, its name in ``node.meta["custom"]``.

    Raises:
        CompilerError: a complex value reaches an operator that no rule lowers, or a model output.
    """
    # Functional first: behind an operator that writes in place, what is static could not be told.
    module = program.run_decompositions({}).module(check_guards=False)
    lowering = _Lowering(module, rules, recorder)

    def forward(_: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        with torch.fx.traceback.preserve_node_meta():
            return lowering.run(*pytree.arg_tree_leaves(*args, **kwargs))

    module.forward = types.MethodType(forward, module)
    args, kwargs = program.example_inputs
    lowered = torch.export.export(module, args, kwargs, strict=False)
    _count_nodes(lowered, rules, recorder)
    return lowered


class _Lowering(Interpreter):
    """Runs a graph, handing each node that a rule claims to the rule."""

    def __init__(self, module: GraphModule, rules: tuple[Rule, ...], recorder: Recorder) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.static = evaluate_static(module)
        self.constants = store_constants(module, self.static)
        self.recorder = recorder
        self.claims: dict[Any, list[Rule]] = defaultdict(list)
        for rule in rules:
            for op in rule.ops:
                self.claims[op].append(rule)

    def run(self, *args: Any) -> Any:
        return super().run(*args, enable_io_processing=False)

    def run_node(self, node: Node) -> Any:
        if node in self.constants:
            return self._constant(self.constants[node])
        self.node = node
        return super().run_node(node)

    def _constant(self, name: ConstantName) -> Any:
        if isinstance(name, ComplexPair):
            return ComplexPair(self._constant(name.real), self._constant(name.imag))
        return getattr(self.module, name)

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for rule in self.claims.get(target, ()):
            result = self._apply(rule, args, kwargs)
            if result is not NotImplemented:
                return result
        if target is not operator.getitem and _holds_pair((args, kwargs)):
            raise _no_rule(self.node)
        result = super().call_function(target, args, kwargs)
        if isinstance(result, torch.Tensor) and result.is_complex():
            raise _no_rule(self.node)
        return result

    def _apply(self, rule: Rule, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with self.recorder.timed(rule), torch.fx.traceback.annotate({RULE_KEY: rule.name}):
            result = rule.implementation(self._site(), *args, **kwargs)
        if isinstance(result, Refusal):
            self.recorder.refused(rule, self.node.name, result.reason, source_line(self.node))
            return NotImplemented
        if result is not NotImplemented:
            self.recorder.fired(rule, self.node.name, source_line(self.node))
        return result

    def _site(self) -> Site:
        schema = self.node.target._schema.arguments  # type: ignore[union-attr]
        positional = zip((argument.name for argument in schema), self.node.args, strict=False)
        named = dict(positional) | self.node.kwargs
        known = {name: self.static[arg] for name, arg in named.items() if isinstance(arg, Node) and arg in self.static}
        return Site(self.node, known)

    def output(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if _holds_pair(args):
            raise CompilerError(
                "the model returns a complex tensor, which ONNX cannot carry; return torch.view_as_real of it"
            )
        return self.module._out_spec.unflatten(super().output(target, args, kwargs))


def _holds_pair(values: Any) -> bool:
    return any(isinstance(leaf, ComplexPair) for leaf in pytree.tree_leaves(values))


def _no_rule(node: Node) -> CompilerError:
    return CompilerError(
        f"no rule lowers {node.target} on a complex tensor, and ONNX has no complex dtype; "
        f"the model calls it at {source_line(node) or 'an unknown line'}"
    )


def source_line(node: Node) -> str:
    """The innermost line of the model's own source that a node comes from, as ``file.py:12: code``."""
    frames = (node.stack_trace or "").replace("\\", "/").split('File "')[1:]
    own = [frame for frame in frames if "/torch/" not in frame.partition('"')[0]]
    if not own:
        return ""
    where, _, code = own[-1].partition("\n")
    path, _, rest = where.partition('", line ')
    return f"{path.rpartition('/')[2]}:{rest.partition(',')[0]}: {code.strip()}"


def _count_nodes(program: ExportedProgram, rules: tuple[Rule, ...], recorder: Recorder) -> None:
    made = Counter((node.meta.get("custom") or {}).get(RULE_KEY) for node in program.graph.nodes)
    for rule in rules:
        if fires := recorder.fires(rule.name):
            recorder.cost(rule).nodes = made[rule.name] - fires

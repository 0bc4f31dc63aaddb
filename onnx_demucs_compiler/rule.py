"""What a rule is: a frozen value that says what it rewrites, why, how exactly, and on which cases.

A rule is made by one of five decorators, one per stage of the pipeline::

    @substitute   Python that cannot be traced -> Python that can, for the time of the trace
    @decompose    one ATen operator -> other ATen operators
    @translate    one ATen operator -> ONNX operators
    @rewrite      ONNX subgraph -> better ONNX subgraph
    @graph_pass   whole ONNX graph -> whole ONNX graph

Decorating registers nothing: the decorated name *is* the rule, and a pack is a package whose modules
hold such values (see :mod:`onnx_demucs_compiler.ruleset`).
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import torch
    from onnxscript.rewriter.pattern import RewriteRuleClassBase

TARGETS = ("portable", "ort", "web")
ALL = frozenset(TARGETS)

_KEBAB_CASE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class Stage(enum.IntEnum):
    """Where in the pipeline a rule applies; the order of the members is the order of the stages."""

    SUBSTITUTE = 1
    DECOMPOSE = 2
    TRANSLATE = 3
    REWRITE = 4
    SURGERY = 5

    @property
    def label(self) -> str:
        """The stage's name as reports and messages print it."""
        return self.name.lower()


@dataclass(frozen=True)
class Numerics:
    """How far a rule's output may lie from what it replaces.

    Attributes:
        min_snr_db: smallest signal-to-noise ratio in dB that the rule's own cases must reach against
            eager PyTorch; ``None`` means that not one bit changes between the graph without the rule
            and the graph with it.
    """

    min_snr_db: float | None

    def __str__(self) -> str:
        return "exact" if self.min_snr_db is None else f"≥ {self.min_snr_db:g} dB"


EXACT = Numerics(min_snr_db=None)


@dataclass(frozen=True)
class Refusal:
    """A rule's answer where it could have applied and must not; the reason goes into the report."""

    reason: str


@dataclass(frozen=True)
class Case:
    """One situation that a rule answers for, run by :func:`onnx_demucs_compiler.testing.check_case`.

    Attributes:
        name: kebab-case, unique within the rule; the test id is ``rule:case``.
        module: builds the model; called under a fixed seed.
        inputs: shapes of its float32 inputs, drawn from a standard normal under a fixed seed.
        fires: how often the rule fires.
        because: for a refusing case, a piece of the reason that the rule must give.
        ops: how often each named ONNX operator stands in the graph after the rule (0 for "never").
        beside: names of rules from the same pack that the case needs as well.
        needed: without the rule this model cannot be exported at all, and the case proves it.
        random: without the rule no two builds agree; the case proves that with it they do.
        target: the target that is compiled for.
        options: other fields of :class:`~onnx_demucs_compiler.options.Options` by name; where they change
            what comes out, the model's own outputs are changed likewise before they are compared.
    """

    name: str
    module: Callable[[], torch.nn.Module]
    inputs: tuple[tuple[int, ...], ...]
    fires: int = 1
    because: str | None = None
    ops: Mapping[str, int] = field(default_factory=dict)
    beside: tuple[str, ...] = ()
    needed: bool = False
    random: bool = False
    target: str = "portable"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, repr=False, eq=False)
class Rule:
    """A named rewrite. Made by the decorators of this module, not by hand.

    Attributes:
        name: kebab-case; the file it lives in is its snake_case twin.
        stage: where it applies.
        why: one or two sentences on what goes wrong without it.
        numerics: what it may cost in precision.
        implementation: what the stage calls; see each decorator for the signature.
        ops: for ``decompose`` and ``translate``, the ATen overloads it takes.
        targets: the compile targets it belongs to.
        tags: for selection, beside the name.
        after: names of rules of the same stage that go first, where they are in the set.
        cases: at least one that fires and one that refuses.
        in_default: whether the pack's default set holds it, or only ``--with`` adds it.
        guard: for ``translate``, called with each node; a table of translations has no fall-through, so
            one refusal leaves the operator to torch.onnx in the whole graph.
    """

    name: str
    stage: Stage
    why: str
    numerics: Numerics
    implementation: Callable[..., Any]
    ops: tuple[Any, ...] = ()
    targets: frozenset[str] = ALL
    tags: frozenset[str] = frozenset()
    after: tuple[str, ...] = ()
    cases: tuple[Case, ...] = ()
    in_default: bool = True
    guard: Callable[..., Refusal | None] | None = None

    def __post_init__(self) -> None:
        """Reject a rule that nobody could trust: badly named, unexplained or untested."""
        if not _KEBAB_CASE.fullmatch(self.name):
            raise UsageError(f"rule name {self.name!r} is not kebab-case")
        for problem in self._problems():
            raise UsageError(f"rule {self.name}: {problem}")

    def _problems(self) -> Iterable[str]:
        if not self.why.strip():
            yield "`why` is empty; say what goes wrong without the rule"
        if unknown := self.targets - ALL:
            yield f"unknown target {', '.join(sorted(unknown))}; known: {', '.join(TARGETS)}"
        if self.stage in (Stage.DECOMPOSE, Stage.TRANSLATE) and not self.ops:
            yield "names no ATen operator"
        if not any(case.fires for case in self.cases):
            yield "no case in which it fires"
        if not any(case.because for case in self.cases):
            yield "no case in which it refuses, with the reason it gives (because=…)"
        names = [case.name for case in self.cases]
        if len(set(names)) != len(names):
            yield "two cases share a name"

    def __repr__(self) -> str:
        return f"<{self.stage.label} rule {self.name}>"

    @property
    def summary(self) -> str:
        """The first line of the implementation's docstring."""
        return (self.implementation.__doc__ or "").strip().partition("\n")[0]

    @property
    def module_name(self) -> str:
        """The module that defines the rule, which is where its documentation points."""
        return str(self.implementation.__module__)


def _decorator(stage: Stage, ops: tuple[Any, ...], options: dict[str, Any]) -> Callable[[Any], Rule]:
    options["tags"] = frozenset(options.get("tags", ()))
    options["after"] = tuple(options.get("after", ()))
    options["cases"] = tuple(options.get("cases", ()))
    return lambda implementation: Rule(stage=stage, ops=ops, implementation=implementation, **options)


def substitute(**options: Any) -> Callable[[Callable[..., Any]], Rule]:
    """A rule that replaces Python attributes for the time of the trace.

    The function takes the ``nn.Module`` to be traced and yields
    :class:`~onnx_demucs_compiler.stages.substitute.Patch` values, or returns a :class:`Refusal`.
    """
    return _decorator(Stage.SUBSTITUTE, (), options)


def decompose(*ops: Any, **options: Any) -> Callable[[Callable[..., Any]], Rule]:
    """A rule that lowers ATen operators to others.

    The function takes a :class:`~onnx_demucs_compiler.stages.decompose.Site` and then the operator's
    own arguments, in which a complex tensor arrives as a
    :class:`~onnx_demucs_compiler.complex_pair.ComplexPair`. It returns the operator's result, a
    :class:`Refusal`, or ``NotImplemented`` where the node is none of its business. Of several rules
    for one operator the first that does not refuse wins.
    """
    return _decorator(Stage.DECOMPOSE, ops, options)


def translate(*ops: Any, **options: Any) -> Callable[[Callable[..., Any]], Rule]:
    """A rule that says an ATen operator in ONNX, by a function that ``custom_translation_table`` takes.

    ``guard=`` gives a function of the ``torch.fx.Node`` that returns a :class:`Refusal` where the
    operator has to be left to torch.onnx.
    """
    return _decorator(Stage.TRANSLATE, ops, options)


def rewrite(**options: Any) -> Callable[[type[RewriteRuleClassBase]], Rule]:
    """A rule that is an ``onnxscript.rewriter`` class with ``pattern``, ``check`` and ``rewrite``.

    ``check`` refuses with ``MatchResult().fail("reason")``. A rule of several patterns that go together is a
    class that names theirs, ``patterns = (First, Second)``.
    """
    return _decorator(Stage.REWRITE, (), options)


def graph_pass(**options: Any) -> Callable[[Callable[..., Any]], Rule]:
    """A rule that changes the whole ONNX graph in place.

    The function takes an ``onnx_ir.Model`` and a
    :class:`~onnx_demucs_compiler.options.Options` and returns how often it fired, or a
    :class:`Refusal`.
    """
    return _decorator(Stage.SURGERY, (), options)

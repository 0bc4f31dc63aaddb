"""A rule: a frozen value with its reason, accuracy and cases.

A rule is made by one of six decorators, one per stage of the pipeline::

    @substitute   Python that cannot be traced -> Python that can, for the time of the trace
    @decompose    one ATen operator -> other ATen operators
    @translate    one ATen operator -> ONNX operators
    @rewrite      ONNX subgraph -> better ONNX subgraph
    @graph_pass   whole ONNX graph -> whole ONNX graph
    @store        weights -> the same weights in fewer bytes

Decorating registers nothing: the decorated name *is* the rule, and a pack is a package whose modules
hold such values (see :mod:`onnx_demucs_compiler.rules.ruleset`).
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.options import PRECISIONS
from onnx_demucs_compiler.targets import ALL, TARGETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import torch
    from onnxscript.rewriter.pattern import RewriteRuleClassBase

    from onnx_demucs_compiler.targets import Target

RULE_KEY = "onnx_demucs.rule"
"""Under which a node's metadata name the rule that made it, until the graph is finished."""

_KEBAB_CASE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class Stage(enum.IntEnum):
    """A rule's place in the pipeline; members are in the pipeline's order."""

    SUBSTITUTE = 1
    DECOMPOSE = 2
    TRANSLATE = 3
    REWRITE = 4
    SURGERY = 5
    STORE = 6

    @property
    def label(self) -> str:
        """The stage's name as reports and messages print it."""
        return self.name.lower()


@dataclass(frozen=True)
class Numerics:
    """The largest distance between a rule's output and what it replaces.

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
    """A rule's reason not to apply where it could; reported."""

    reason: str


@dataclass(frozen=True)
class Case:
    """One situation that a rule answers for, run by :func:`onnx_demucs_compiler.testing.check_case`.

    Attributes:
        name: kebab-case, unique within the rule; the test id is ``rule:case``.
        module: builds the model; called under a fixed seed.
        inputs: shapes of its float32 inputs, drawn from a standard normal under a fixed seed.
        fires: how often the rule fires.
        because: for a refusing case, a piece of the reason that the rule must give; without it a case of no
            firing is one in which the rule has nothing to say.
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


@dataclass(frozen=True)
class GraphCase:
    """One situation of a rewrite or surgery rule, as an ONNX graph.

    It takes milliseconds.

    Attributes:
        name: kebab-case, unique within the rule; the test id is ``rule:case``.
        graph: the model in ONNX's text format, in which constants are nodes or initializers. Its inputs are
            float32, drawn from a standard normal under a fixed seed; a size that has a name is 2.
        fires: how often the rule fires.
        because: for a refusing case, a piece of the reason that the rule must give; without it a case of no
            firing is one in which the rule has nothing to say.
        ops: how often each named ONNX operator stands in the graph after the rule (0 for "never").
        beside: names of rules of these two stages, from the same pack, that the case needs as well.
        target: the target that is compiled for.
        options: other fields of :class:`~onnx_demucs_compiler.options.Options` by name.
    """

    name: str
    graph: str
    fires: int = 1
    because: str | None = None
    ops: Mapping[str, int] = field(default_factory=dict)
    beside: tuple[str, ...] = ()
    target: str = "portable"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, repr=False, eq=False)
class Rule:
    """A named change, made by the decorators of this module.

    Attributes:
        name: kebab-case; the file it lives in is its snake_case twin.
        stage: where it applies.
        why: one or two sentences on what goes wrong without it.
        numerics: what it may cost in precision.
        implementation: what the stage calls; see each decorator for the signature.
        ops: for ``decompose`` and ``translate``, the ATen overloads it takes.
        targets: those it belongs to; a rule that is tuned for a runtime names its own.
        tags: for selection, beside the name.
        after: the rules of the same stage that go first, where they are in the set: names, tags or globs.
        cases: at least one in which it fires and one in which it does not.
        in_default: whether the pack's default set holds it, or only ``--with`` adds it.
        precision: for ``store``, the precision whose form weights get
            (:data:`onnx_demucs_compiler.options.STORED_AS`).
        guard: for ``translate``, called with each node; a table of translations has no fall-through, so
            one refusal leaves the operator to torch.onnx in the whole graph.
        pattern: for ``rewrite``, the subgraph that the rule is asked about.
        decide: for ``rewrite`` and ``graph_pass``, what is asked first; ``None`` for a rule in the form of
            onnxscript's class, or that looks and changes in one function.
        on: for ``graph_pass``, the operators whose nodes it is asked about; none for the graph as a whole.
        shared: for ``rewrite``, whether the pattern also matches where a value inside it is used elsewhere.
        domains: those whose operators the rule may put in beside its targets' own.
    """

    name: str
    stage: Stage
    why: str
    numerics: Numerics
    implementation: Callable[..., Any]
    ops: tuple[Any, ...] = ()
    targets: frozenset[Target] = ALL
    tags: frozenset[str] = frozenset()
    after: tuple[str, ...] = ()
    cases: tuple[Case | GraphCase, ...] = ()
    in_default: bool = True
    precision: str = ""
    guard: Callable[..., Refusal | None] | None = None
    pattern: Callable[..., Any] | None = None
    decide: Callable[..., Any] | None = None
    on: tuple[str, ...] = ()
    shared: bool = False
    domains: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Reject a rule that nobody could trust: badly named, unexplained or untested."""
        if not _KEBAB_CASE.fullmatch(self.name):
            raise UsageError(f"rule name {self.name!r} is not kebab-case")
        for problem in self._problems():
            raise UsageError(f"rule {self.name}: {problem}")

    def _problems(self) -> Iterable[str]:
        if not self.why.strip():
            yield "`why` is empty; say what goes wrong without the rule"
        if unknown := [str(target) for target in self.targets if target not in ALL]:
            yield f"unknown target {', '.join(sorted(unknown))}; known: {', '.join(TARGETS)}"
        if self.stage in (Stage.DECOMPOSE, Stage.TRANSLATE) and not self.ops:
            yield "names no ATen operator"
        if self.stage is Stage.STORE and self.precision not in PRECISIONS:
            yield f"unknown precision {self.precision!r}; known: {', '.join(PRECISIONS)}"
        yield from self._misplaced()
        if not any(case.fires for case in self.cases):
            yield "no case in which it fires"
        if all(case.fires for case in self.cases):
            yield "no case in which it does not fire (fires=0)"
        if self.stage < Stage.REWRITE and any(isinstance(case, GraphCase) for case in self.cases):
            yield f"a {self.stage.label} rule never sees an ONNX graph; replace its GraphCase by a Case"
        names = [case.name for case in self.cases]
        if len(set(names)) != len(names):
            yield "two cases share a name"

    def _misplaced(self) -> Iterable[str]:
        """Complaints about sites that no stage would look at."""
        if self.pattern and not self.decide:
            yield "has a pattern, and no `decide` that looks at its matches"
        if self.on and not self.decide:
            yield "names operators, and no `decide` that looks at their nodes"
        if self.decide and self.stage < Stage.REWRITE:
            yield f"a {self.stage.label} rule decides in its one function; leave out `decide`"
        if self.stage is Stage.REWRITE and (self.on or (self.decide and not self.pattern)):
            yield "a rewrite rule is asked about a pattern; give one, and leave out `on`"
        if self.stage is not Stage.REWRITE and (self.pattern or self.shared):
            yield f"a {self.stage.label} rule has no pattern; `on` names the operators that it is asked about"

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
    options["targets"] = frozenset(options.get("targets", ALL))
    options["tags"] = frozenset(options.get("tags", ()))
    options["after"] = tuple(options.get("after", ()))
    options["cases"] = tuple(options.get("cases", ()))
    options["on"] = tuple(options.get("on", ()))
    options["domains"] = frozenset(options.get("domains", ()))
    return lambda implementation: Rule(stage=stage, ops=ops, implementation=implementation, **options)


def substitute(**options: Any) -> Callable[[Callable[..., Any]], Rule]:
    """A rule that replaces Python attributes for the time of the trace.

    The function takes the ``nn.Module`` to be traced and yields
    :class:`~onnx_demucs_compiler.rules.Patch` values, none where the module has nothing that it is about, or
    returns a :class:`Refusal`.
    """
    return _decorator(Stage.SUBSTITUTE, (), options)


def decompose(*ops: Any, **options: Any) -> Callable[[Callable[..., Any]], Rule]:
    """A rule that lowers ATen operators to others.

    The function takes a :class:`~onnx_demucs_compiler.rules.Site` and then the operator's
    own arguments, in which a complex tensor arrives as a
    :class:`~onnx_demucs_compiler.rules.ComplexPair`. It returns the operator's result, a
    :class:`Refusal`, or ``NotImplemented`` where the node is none of its business. Of several rules
    for one operator the first that does not refuse wins.
    """
    return _decorator(Stage.DECOMPOSE, ops, options)


def translate(*ops: Any, **options: Any) -> Callable[[Callable[..., Any]], Rule]:
    """A rule from an ATen operator to ONNX, for ``custom_translation_table``.

    ``guard=`` gives a function of the ``torch.fx.Node`` that returns a :class:`Refusal` where the
    operator has to be left to torch.onnx.
    """
    return _decorator(Stage.TRANSLATE, ops, options)


def rewrite(
    pattern: Callable[..., Any] | None = None, **options: Any
) -> Callable[[Callable[..., Any] | type[RewriteRuleClassBase]], Rule]:
    """A rule from an ONNX subgraph to a better one.

    ``pattern(op, x, …)`` describes the subgraph to onnxscript's matcher. ``decide=`` gives a function of a
    match, a :class:`~onnx_demucs_compiler.rules.NodeSite`. It returns facts of the rule's own type, or
    ``None`` where the match says all; a :class:`Refusal`; or :class:`~onnx_demucs_compiler.rules.NotMine`.
    The decorated function takes an ``op``, the site and the facts, and returns the new value.
    ``shared=True`` matches also where a value inside the pattern is used elsewhere.

    Without a pattern, what is decorated is an ``onnxscript.rewriter`` class with ``pattern``, ``check``,
    which refuses with ``MatchResult().fail("reason")``, and ``rewrite``; or a class that names several of
    these that go together, ``patterns = (First, Second)``.
    """
    return _decorator(Stage.REWRITE, (), options | {"pattern": pattern})


def graph_pass(**options: Any) -> Callable[[Callable[..., Any]], Rule]:
    """A rule that changes the ONNX graph in place.

    ``decide=`` gives a function of a :class:`~onnx_demucs_compiler.rules.GraphSite`, or where ``on=`` names
    operators, of a :class:`~onnx_demucs_compiler.rules.NodeSite` for each of their nodes. It answers as that
    of a :func:`rewrite`. The decorated function takes the site and the facts, and returns nothing, or the
    nodes or values that it fired on where that is not the site.

    Without ``decide`` the function takes an ``onnx_ir.Model`` and a
    :class:`~onnx_demucs_compiler.options.Options`. It returns the nodes or values that it fired on,
    none where there is nothing that it is about; or how often it fired, where it is about the graph
    as a whole; or a :class:`Refusal`.
    """
    return _decorator(Stage.SURGERY, (), options)


def store(**options: Any) -> Callable[[Callable[..., Any]], Rule]:
    """A rule that stores weights in fewer bytes, in a final graph.

    The functions are those of a :func:`graph_pass`. ``precision=`` names the one whose form it gives to
    weights; the rule is asked only where the compile wants that form.
    """
    return _decorator(Stage.STORE, (), options)

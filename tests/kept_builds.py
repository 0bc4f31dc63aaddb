"""Programs and graphs that tests build again, kept from one compile to the next.

Every compile traces its model. What DECOMPOSE and TRANSLATE make of the program depends on it and on the
rules alone, and takes three quarters of the time of a small compile.
"""

import copy
import functools
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import onnx_ir as ir
import torch
import torch.utils._pytree as pytree
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from onnx_demucs_compiler import building
from onnx_demucs_compiler.building import Lowered, Traced
from onnx_demucs_compiler.observe.observer import Observer
from onnx_demucs_compiler.report import Event, Recorder, RuleCost
from onnx_demucs_compiler.rules.rule import Rule, Stage
from onnx_demucs_compiler.rules.ruleset import RuleSet, bundled
from onnx_demucs_compiler.tracing.quiet import debugging

MOST = 24
"""How many programs are kept at a time, and how many graphs."""

ANCESTORS = "from_node"
"""A node's metadata that DECOMPOSE drops."""


@dataclass
class Kept:
    """What a step made, and what it told the recorder."""

    made: Any
    events: list[Event]
    costs: dict[str, RuleCost]

    def tell(self, recorder: Recorder) -> None:
        recorder.events += self.events
        recorder.costs |= {name: replace(cost) for name, cost in self.costs.items()}


class KeptBuilds:
    """The latest results of one step, by all that they depend on."""

    def __init__(self, step: str) -> None:
        self.step = step
        self.hits = 0
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()

    def get(
        self,
        key: Hashable,
        build: Callable[[Recorder], Any],
        recorder: Recorder,
        is_good: Callable[[Any], bool] = lambda _: True,
    ) -> Any:
        kept = self._kept.pop(key, None)
        if kept is not None and is_good(kept.made):
            self.hits += 1
            with recorder.step(self.step):
                kept.tell(recorder)
        else:
            kept = _recorded(build, recorder)
        self._kept[key] = kept
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return kept.made

    def forget(self) -> None:
        self._kept.clear()


def _recorded(build: Callable[[Recorder], Any], recorder: Recorder) -> Kept:
    """What is built, and apart from other steps what the recorder was told."""
    own = Recorder(recorder._on_step)
    own.seconds, own.memory = recorder.seconds, recorder.memory
    kept = Kept(None, own.events, own.costs)
    try:
        kept.made = build(own)
    finally:
        kept.tell(recorder)
    return kept


PROGRAMS, GRAPHS = KeptBuilds("decompose"), KeptBuilds("translate")


def forget_builds() -> None:
    """Have every program and graph built anew when it is next needed."""
    PROGRAMS.forget()
    GRAPHS.forget()


def keep_builds() -> None:
    """Keep what ``lower`` and ``translate`` of ``building`` make in this process."""
    lower, translate = building.lower, building.translate

    def kept_lower(traced: Traced, rules: RuleSet, recorder: Recorder) -> Lowered:
        options = traced.view.options
        chosen = rules.stage(Stage.DECOMPOSE, options.made_for)
        # Emitters change the program that they are given.
        if options.emit or _looked_at(chosen, recorder):
            return lower(traced, rules, recorder)

        def build(recorder: Recorder) -> tuple[Lowered, bytes]:
            lowered = lower(traced, rules, recorder)
            return lowered, weights_digest(lowered.program)

        lowered, _ = PROGRAMS.get((digest(traced), chosen), build, recorder, _has_its_weights)
        return Lowered(lowered.program, lowered.inputs, traced.view)

    def kept_translate(lowered: Lowered, rules: RuleSet, recorder: Recorder) -> ir.Model:
        view = lowered.view
        chosen = rules.stage(Stage.TRANSLATE, view.options.made_for)
        if _looked_at(chosen, recorder):
            return translate(lowered, rules, recorder)
        key = lowered.program, chosen, view.outputs, repr(view.open_axes())
        return _clone(GRAPHS.get(key, lambda recorder: translate(lowered, rules, recorder), recorder))

    building.lower, building.translate = kept_lower, kept_translate


def _looked_at(rules: tuple[Rule, ...], recorder: Recorder) -> bool:
    """True where a test looks on: by rules of its own, an observer or a debugger."""
    return not _own_rules().issuperset(rules) or type(recorder.observer) is not Observer or debugging()


@functools.cache
def _own_rules() -> frozenset[Rule]:
    return frozenset(bundled())


def _has_its_weights(kept: tuple[Lowered, bytes]) -> bool:
    """False where a test has changed the weights, which a program shares with its module."""
    lowered, weights = kept
    return weights_digest(lowered.program) == weights


def _clone(model: ir.Model) -> ir.Model:
    """A clone that names new nodes and values as the model itself would."""
    clone = model.clone()
    clone.graph._name_authority = copy.deepcopy(model.graph._name_authority)
    return clone


def digest(traced: Traced) -> bytes:
    """SHA-256 of what DECOMPOSE reads: the graph with its shapes and origins, and the weights."""
    texts = "\n".join([*_texts(traced.program), repr(traced.shapes)])
    return hashlib.sha256(texts.encode() + weights_digest(traced.program)).digest()


def _texts(program: ExportedProgram) -> Iterator[str]:
    yield f"{program.graph_signature} {program.range_constraints} {program.call_spec}"
    yield repr(pytree.tree_map(_described, program.example_inputs))
    for name, module in program.graph_module.named_modules():
        yield f"{name} {type(module).__name__}"
        if isinstance(module, GraphModule):
            yield from map(_text_of, module.graph.nodes)


def _text_of(node: Node) -> str:
    told = {key: value for key, value in node.meta.items() if key != ANCESTORS}
    described = pytree.tree_map(_described, told)
    return f"{node.op} {node.name} {node.target} {node.args} {node.kwargs} {described}"


def weights_digest(program: ExportedProgram) -> bytes:
    """SHA-256 of a program's parameters, buffers and constants."""
    found = hashlib.sha256()
    for name, value in (*program.state_dict.items(), *program.constants.items()):
        found.update(f"{name} {_described(value)}".encode())
        if isinstance(value, torch.Tensor):
            found.update(value.detach().contiguous().reshape(-1).view(torch.uint8).numpy())
    return found.digest()


def _described(value: Any) -> Any:
    """A tensor without its numbers, and anything else as it is."""
    if not isinstance(value, torch.Tensor):
        return value
    kind = type(value).__name__, value.dtype, tuple(value.shape), value.requires_grad
    return (*kind, value.stride(), value.storage_offset()) if value.layout == torch.strided else kind

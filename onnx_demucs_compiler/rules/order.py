"""The order of rules: by stage, then ``after``, then name.

The name decides only between rules that commute.
"""

from __future__ import annotations

import fnmatch
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.rules.rule import Stage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnx_demucs_compiler.rules.rule import Rule


def selected(rules: Iterable[Rule], selector: str) -> list[Rule]:
    """The rules that match a name, a tag or a glob."""
    return [rule for rule in rules if selector in rule.tags or fnmatch.fnmatchcase(rule.name, selector)]


def in_order(rules: Iterable[Rule], *, descending: bool = False) -> list[Rule]:
    """Rules in the order in which they apply.

    Args:
        rules: of any stages.
        descending: whether rules between which ``after`` decides nothing go from Z to A, to see that they
            commute.

    Raises:
        UsageError: ``after`` forms a cycle.
    """
    by_stage = {stage: [rule for rule in rules if rule.stage is stage] for stage in Stage}
    return [rule for of_stage in by_stage.values() for rule in _sorted(of_stage, descending=descending)]


def _sorted(rules: list[Rule], *, descending: bool) -> list[Rule]:
    named = {rule.name: rule for rule in rules}
    sorter = TopologicalSorter({rule.name: predecessors(rule, rules) for rule in rules})
    try:
        sorter.prepare()
    except CycleError as error:
        raise UsageError(f"rules go after one another in a cycle: {' → '.join(error.args[1])}") from None
    ordered: list[Rule] = []
    ready: list[str] = []
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()], reverse=descending)
        ordered.append(named[ready[0]])
        sorter.done(ready.pop(0))
    return ordered


def predecessors(rule: Rule, rules: Iterable[Rule]) -> list[str]:
    """The names of the rules that a rule goes after.

    A tag or a glob of its own leaves the rule itself out.
    """
    found = {other.name: other for selector in rule.after for other in selected(rules, selector)}
    return [name for name, other in found.items() if other is not rule or name in rule.after]


def check_selectors(rules: Iterable[Rule], known: Iterable[Rule]) -> None:
    """Fail if an ``after`` matches nothing in its rule's stage.

    Raises:
        UsageError: one does not.
    """
    known = tuple(known)
    for rule in rules:
        of_stage = [other for other in known if other.stage is rule.stage]
        for selector in rule.after:
            if not selected(of_stage, selector):
                raise UsageError(
                    f"rule {rule.name} goes after {selector!r}, "
                    f"and no {rule.stage.label} rule has that name, tag or glob"
                )

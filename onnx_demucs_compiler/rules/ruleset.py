"""Sets of rules, immutable and ordered, and the packs they come from."""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.metadata
import pkgutil
from typing import TYPE_CHECKING

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.options import STORED_AS
from onnx_demucs_compiler.rules.order import check_selectors, in_order, selected
from onnx_demucs_compiler.rules.rule import Rule, Stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

    from onnx_demucs_compiler.targets import Target

BUNDLED_PACK = "onnx_demucs_rules"
ENTRY_POINT_GROUP = "onnx_demucs_compiler.rules"


class RuleSet:
    """An immutable set of rules, ordered by stage, then ``after``, then name.

    ``a | b`` joins two sets and ``a - "selector"`` takes rules away; a selector is a rule's name, a tag
    or a glob over names.

    Raises:
        UsageError: two rules share a name, ``after`` forms a cycle, or two rules translate one ATen
            operator for one target. Raised when the set is made, not when it is used.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = {rule.name: rule for rule in in_order(_distinct(tuple(rules)))}
        _check_translations(self)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self._rules.values())

    def __len__(self) -> int:
        return len(self._rules)

    def __contains__(self, name: object) -> bool:
        return name in self._rules

    def __getitem__(self, name: str) -> Rule:
        if name not in self._rules:
            raise self._unknown(name)
        return self._rules[name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RuleSet) and self._rules == other._rules

    def __hash__(self) -> int:
        return hash(tuple(self._rules))

    def __repr__(self) -> str:
        return f"RuleSet({', '.join(self._rules)})"

    def __or__(self, other: RuleSet | Rule) -> RuleSet:
        """Both sets' rules. A rule in both (the same value) counts once."""
        added = RuleSet([other]) if isinstance(other, Rule) else other
        return RuleSet([*self, *(rule for rule in added if self._rules.get(rule.name) is not rule)])

    def __sub__(self, selectors: str | Iterable[str]) -> RuleSet:
        """The set without the rules that the selectors name.

        Raises:
            UsageError: a selector names no rule of the set.
        """
        gone = self.only(*([selectors] if isinstance(selectors, str) else selectors))
        return RuleSet(rule for rule in self if rule.name not in gone)

    def only(self, *selectors: str) -> RuleSet:
        """The rules that the selectors name, and no others.

        Raises:
            UsageError: a selector names no rule of the set.
        """
        return RuleSet(
            {rule.name: rule for selector in selectors for rule in self._select(selector)}.values()
        )

    def until(self, name: str) -> RuleSet:
        """The rules up to and including one that works on the graph.

        Raises:
            UsageError: the set has no rule of that name, or it comes before there is a graph.
        """
        last = self[name]
        if last.stage < Stage.REWRITE:
            raise UsageError(
                f"{name} is a {last.stage.label} rule, and there is no graph before the rewrites; "
                "name a later rule, or look at the program in a dump"
            )
        rules = list(self)
        return RuleSet(rules[: rules.index(last) + 1])

    def override(self, *rules: Rule) -> RuleSet:
        """The set with rules replaced by others of the same names.

        Raises:
            UsageError: the set has no rule of that name.
        """
        for rule in rules:
            if rule.name not in self:
                raise self._unknown(rule.name)
        return RuleSet(({rule.name: rule for rule in self} | {rule.name: rule for rule in rules}).values())

    def stage(self, stage: Stage, target: Target) -> tuple[Rule, ...]:
        """The rules of one stage that belong to a target, in order."""
        return tuple(rule for rule in self if rule.stage is stage and target in rule.targets)

    def storing(self, precision: str, target: Target) -> tuple[Rule, ...]:
        """The rules that store weights in a precision's forms, in order."""
        forms = STORED_AS[precision]
        return tuple(rule for rule in self.stage(Stage.STORE, target) if rule.precision in forms)

    def _select(self, selector: str) -> list[Rule]:
        chosen = selected(self, selector)
        if not chosen:
            raise self._unknown(selector)
        return chosen

    def _unknown(self, selector: str) -> UsageError:
        known = sorted({*self._rules, *(tag for rule in self for tag in rule.tags)})
        close = difflib.get_close_matches(selector, known, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
        return UsageError(f"no rule, tag or glob {selector!r} in this set; {hint}")


def _distinct(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    seen: dict[str, Rule] = {}
    for rule in rules:
        if rule.name in seen:
            raise UsageError(
                f"two rules are named {rule.name}: {seen[rule.name].module_name} and {rule.module_name}; "
                "use .override() to replace one by the other"
            )
        seen[rule.name] = rule
    return rules


def _check_translations(rules: RuleSet) -> None:
    taken: dict[tuple[object, Target], Rule] = {}
    for rule in rules:
        if rule.stage is not Stage.TRANSLATE:
            continue
        for op in rule.ops:
            for target in sorted(rule.targets, key=str):
                other = taken.setdefault((op, target), rule)
                if other is not rule:
                    raise UsageError(
                        f"{other.name} and {rule.name} both translate {op} for target {target}; "
                        "take one of them out"
                    )


@functools.cache
def load_pack(package: str) -> RuleSet:
    """All rules of a pack: every :class:`Rule` in a package's modules, sorted.

    Raises:
        UsageError: one of its modules cannot be imported, none holds a rule, or one goes ``after`` what is
            neither in the pack nor among the bundled rules.
    """
    root = _imported(package, package)
    found_modules = pkgutil.walk_packages(
        getattr(root, "__path__", []), f"{package}.", onerror=lambda name: _imported(package, name)
    )
    modules = [root, *(_imported(package, name) for name in sorted(info.name for info in found_modules))]
    # A rule that one module imports from another is the same value twice.
    found = {
        id(value): value for module in modules for value in vars(module).values() if isinstance(value, Rule)
    }
    if not found:
        raise UsageError(f"rule pack {package} holds no rules")
    rules = RuleSet(found.values())
    check_selectors(rules, rules if package == BUNDLED_PACK else [*bundled(), *rules])
    return rules


def _imported(package: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except UsageError as error:
        raise UsageError(f"rule pack {package}: {name}: {error}") from error
    except Exception as error:  # a module of someone else's may raise anything
        raise UsageError(
            f"rule pack {package}: {name} cannot be imported ({type(error).__name__}: {error})"
        ) from error


@functools.cache
def bundled() -> RuleSet:
    """Every bundled rule, including those that only ``--with`` adds."""
    return load_pack(BUNDLED_PACK)


@functools.cache
def default_rules() -> RuleSet:
    """The bundled rules on by default, which third-party packs never change."""
    return RuleSet(rule for rule in bundled() if rule.in_default)


def plugins(*names: str) -> RuleSet:
    """The rules of installed third-party packs, by entry-point name.

    A pack declares itself in its ``pyproject.toml``::

        [project.entry-points."onnx_demucs_compiler.rules"]
        acme = "acme_rules"

    Raises:
        UsageError: no installed package declares a pack of that name, or several do.
    """
    installed: dict[str, set[str]] = {}
    for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        installed.setdefault(entry.name, set()).add(entry.module)
    chosen = RuleSet([])
    for name in names:
        if name not in installed:
            known = ", ".join(sorted(installed)) or "none"
            raise UsageError(f"no rule pack {name!r} is installed; installed packs: {known}")
        package, *others = sorted(installed[name])
        if others:
            raise UsageError(
                f"several packages declare a rule pack {name!r}: {', '.join([package, *others])}"
            )
        chosen = chosen | load_pack(package)
    return chosen

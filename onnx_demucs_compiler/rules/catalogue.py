"""The rule catalogue, written from the rules themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_compiler.rules.rule import Stage
from onnx_demucs_compiler.targets import ALL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnx_demucs_compiler.rules.rule import Case, GraphCase, Rule
    from onnx_demucs_compiler.rules.ruleset import RuleSet

HEAD = """# Rules

Written by `make docs`; do not edit. How to write one: [writing-a-rule.md](writing-a-rule.md). In a picture,
nodes with a thick border are the rule's, and arrows carry shapes; weights are left out.
"""


def catalogue(rules: RuleSet, pictures: Mapping[str, str] | None = None) -> str:
    """The catalogue in Markdown: a table, then a section for each rule.

    Args:
        rules: all that it lists.
        pictures: Markdown that the sections of some rules show, by name.
    """
    drawn = pictures or {}
    rows = ["| rule | stage | default | what it does |", "|---|---|---|---|"]
    rows += [
        f"| [{rule.name}](#{rule.name}) | {rule.stage.label} | {'yes' if rule.in_default else 'no'} "
        f"| {_cell(rule.summary)} |"
        for rule in rules
    ]
    parts = [HEAD, "\n".join(rows) + "\n"]
    for stage in Stage:
        of_stage = [rule for rule in rules if rule.stage is stage]
        if of_stage:
            parts += [f"## {stage.label}\n", *(section(rule, drawn.get(rule.name)) for rule in of_stage)]
    return "\n".join(parts)


def section(rule: Rule, picture: str | None = None) -> str:
    """Markdown: all there is to know about one rule."""
    targets = "all" if rule.targets == ALL else ", ".join(sorted(map(str, rule.targets)))
    facts = [
        f"- stage: {rule.stage.label}; targets: {targets}; tags: {', '.join(sorted(rule.tags)) or 'none'}",
        f"- numerics: {rule.numerics}",
        f"- on by default: {'yes' if rule.in_default else 'no, add it with `--with ' + rule.name + '`'}",
        f"- source: `{rule.module_name}`",
        *([f"- after: {', '.join(rule.after)}"] if rule.after else []),
    ]
    cases = ["| case | fires | because |", "|---|---|---|", *(_row(case) for case in rule.cases)]
    head = [f"### {rule.name}\n", f"{rule.summary}\n", f"{rule.why}\n"]
    drawn = [f"{picture}\n"] if picture else []
    return "\n".join([*head, *drawn, *facts, "", *cases, ""])


def _row(case: Case | GraphCase) -> str:
    return f"| {case.name} | {case.fires} | {_cell(case.because or '')} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

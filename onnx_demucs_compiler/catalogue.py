"""The rule catalogue, written from the rules themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_compiler.rule import TARGETS, Stage
from onnx_demucs_compiler.ruleset import bundled

if TYPE_CHECKING:
    from onnx_demucs_compiler.rule import Case, Rule
    from onnx_demucs_compiler.ruleset import RuleSet

HEAD = """# Rules

Written by `python -m onnx_demucs_compiler.catalogue > docs/rules.md`; do not edit. How to write one:
[writing-a-rule.md](writing-a-rule.md).
"""


def catalogue(rules: RuleSet) -> str:
    """Markdown: a table of all rules, then a section for each, by stage."""
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
            parts += [f"## {stage.label}\n", *(section(rule) for rule in of_stage)]
    return "\n".join(parts)


def section(rule: Rule) -> str:
    """Markdown: all there is to know about one rule."""
    targets = "all" if rule.targets == frozenset(TARGETS) else ", ".join(sorted(rule.targets))
    facts = [
        f"- stage: {rule.stage.label}; targets: {targets}; tags: {', '.join(sorted(rule.tags)) or 'none'}",
        f"- numerics: {rule.numerics}",
        f"- on by default: {'yes' if rule.in_default else 'no, add it with `--with ' + rule.name + '`'}",
        f"- source: `{rule.module_name}`",
        *([f"- after: {', '.join(rule.after)}"] if rule.after else []),
    ]
    cases = ["| case | fires | because |", "|---|---|---|", *(_row(case) for case in rule.cases)]
    return "\n".join([f"### {rule.name}\n", f"{rule.summary}\n", f"{rule.why}\n", *facts, "", *cases, ""])


def _row(case: Case) -> str:
    return f"| {case.name} | {case.fires} | {_cell(case.because or '')} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(catalogue(bundled()), end="")  # noqa: T201

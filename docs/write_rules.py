"""The rule catalogue with its pictures: ``python docs/write_rules.py > docs/rules.md``."""

import sys
from collections.abc import Mapping

from onnx_demucs_compiler.observe.pictures import before_after
from onnx_demucs_compiler.rules import Case, GraphCase, Rule, RuleSet
from onnx_demucs_compiler.rules.catalogue import catalogue
from onnx_demucs_compiler.rules.ruleset import bundled
from onnx_demucs_compiler.testing import graphs_of

PICTURED = (
    "mean-in-stages",
    "embedding-without-expand",
    "feed-forward-in-blocks",
    "glu-as-two-convolutions",
    "scale-into-convolution",
    "select-before-transpose",
    "sum-before-crop",
    "drop-zero-state",
    "select-before-concat",
    "select-early",
)
"""The rules whose cases are small enough to be read as a picture."""


def pictures(rules: RuleSet) -> Mapping[str, str]:
    """Markdown by rule: what its first firing case is without it and with it."""
    return {name: picture(rules[name], rules) for name in PICTURED}


def picture(rule: Rule, rules: RuleSet) -> str:
    """The picture of one rule, by a case that is a graph where there is one."""
    case = pictured_case(rule)
    return f"Case {case.name}:\n\n{before_after(*graphs_of(rule, case, rules), rule.name)}"


def pictured_case(rule: Rule) -> Case | GraphCase:
    """The first firing case, graphs before modules."""
    firing = [case for case in rule.cases if case.fires]
    return next((case for case in firing if isinstance(case, GraphCase)), firing[0])


if __name__ == "__main__":
    sys.stdout.write(catalogue(bundled(), pictures(bundled())))

"""Rules as values: all that the author of a rule imports."""

from onnx_demucs_compiler.rules.complex_pair import ComplexPair, Halves, with_axis_at
from onnx_demucs_compiler.rules.graph_site import GraphSite, NodeSite, NotMine
from onnx_demucs_compiler.rules.patch import Patch
from onnx_demucs_compiler.rules.rule import (
    EXACT,
    RULE_KEY,
    Case,
    GraphCase,
    Numerics,
    Refusal,
    Rule,
    Stage,
    decompose,
    graph_pass,
    rewrite,
    store,
    substitute,
    translate,
)
from onnx_demucs_compiler.rules.ruleset import RuleSet
from onnx_demucs_compiler.rules.site import Site

__all__ = [
    "EXACT",
    "RULE_KEY",
    "Case",
    "ComplexPair",
    "GraphCase",
    "GraphSite",
    "Halves",
    "NodeSite",
    "NotMine",
    "Numerics",
    "Patch",
    "Refusal",
    "Rule",
    "RuleSet",
    "Site",
    "Stage",
    "decompose",
    "graph_pass",
    "rewrite",
    "store",
    "substitute",
    "translate",
    "with_axis_at",
]

"""Printing, warning and stopping in a rule, with ONNX_DEMUCS_DEBUG=1."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

COMPILE = """
import warnings
import torch
from onnxscript.rewriter import MatchResult
from onnxscript.rewriter.pattern import RewriteRuleClassBase
from torch import nn
from onnx_demucs_compiler import compile
from onnx_demucs_compiler.rules import Case, RuleSet, decompose, graph_pass, rewrite, substitute
from onnx_demucs_compiler.rules import EXACT, Refusal

FACTS = dict(why="Because.", numerics=EXACT, cases=[
    Case("fires", nn.ReLU, ((2, 8),)), Case("refuses", nn.ReLU, ((2,),), fires=0)])

def look(stage):
    print(f"a print in {stage}")
    warnings.warn(f"a warning in {stage}")
    breakpoint()

@substitute(name="one", **FACTS)
def one(module):
    look("SUBSTITUTE")
    return []

@decompose(torch.ops.aten.relu.default, name="two", **FACTS)
def two(site, x):
    look("DECOMPOSE")
    return NotImplemented

@rewrite(name="three", **FACTS)
class Three(RewriteRuleClassBase):
    def pattern(self, op, x):
        return op.Relu(x)

    def check(self, _, **__):
        look("REWRITE")
        return MatchResult().fail("looked")

    def rewrite(self, op, x):
        return x

@graph_pass(name="four", **FACTS)
def four(model, options):
    look("SURGERY")
    return 0

compile(nn.ReLU(), RuleSet([one, two, Three, four]), example_input=torch.randn(2, 8))
"""

STAGES = ("SUBSTITUTE", "DECOMPOSE", "REWRITE", "SURGERY")


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        input="p 6 * 7\ncontinue\n" * len(STAGES),
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "rules")]), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_rule_of_any_stage_may_print_warn_and_stop() -> None:
    process = run(COMPILE, ONNX_DEMUCS_DEBUG="1")
    assert process.returncode == 0, process.stderr
    for stage in STAGES:
        assert f"a print in {stage}" in process.stdout
        assert f"a warning in {stage}" in process.stderr
    assert process.stdout.count("42") == len(STAGES)


@pytest.mark.parametrize("value", ["", "0"])
def test_without_it_nobody_is_bothered(value: str) -> None:
    process = run(COMPILE.replace("    breakpoint()\n", ""), ONNX_DEMUCS_DEBUG=value)
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


def test_an_error_has_its_traceback(tmp_path: Path) -> None:
    missing = tmp_path / "missing.th"
    code = f"from onnx_demucs_compiler.__main__ import main; main(['compile', {str(missing)!r}])"
    assert len(run(code).stderr.splitlines()) == 1
    with_traceback = run(code, ONNX_DEMUCS_DEBUG="1").stderr
    assert with_traceback.startswith("Traceback (most recent call last):")
    assert with_traceback.splitlines()[-1] == run(code).stderr.rstrip()

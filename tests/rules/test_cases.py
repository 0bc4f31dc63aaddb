"""Every case of every bundled rule, by the one harness."""

import pytest

from onnx_demucs_compiler.rules.ruleset import bundled
from onnx_demucs_compiler.runtime.eight_bits import eight_bits
from onnx_demucs_compiler.testing import check_case, rule_cases


@pytest.mark.parametrize(
    ("rule", "case"),
    [pytest.param(rule, case, id=f"{rule.name}:{case.name}") for rule, case in rule_cases(bundled())],
)
def test_case(rule, case):
    if case.ops.get("MatMulInteger") and not eight_bits().exact:
        pytest.skip("this processor adds products of bytes up in 16 bits, which overflow")
    check_case(rule, case, bundled())

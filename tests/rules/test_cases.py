"""Every case of every bundled rule, by the one harness."""

import pytest
from products_of_bytes import exact_products_of_bytes

from onnx_demucs_compiler.rules.ruleset import bundled
from onnx_demucs_compiler.testing import check_case, rule_cases


@pytest.mark.parametrize(
    ("rule", "case"),
    [
        pytest.param(
            rule,
            case,
            id=f"{rule.name}:{case.name}",
            marks=[exact_products_of_bytes] if case.ops.get("MatMulInteger") else [],
        )
        for rule, case in rule_cases(bundled())
    ],
)
def test_case(rule, case):
    check_case(rule, case, bundled())

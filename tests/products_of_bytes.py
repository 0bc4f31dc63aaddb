"""Tests of what eight bits keep, for processors that multiply them exactly."""

import pytest

from onnx_demucs_compiler.runtime.eight_bits import eight_bits

exact_products_of_bytes = pytest.mark.skipif(
    not eight_bits().exact, reason="this processor adds products of bytes up in 16 bits, which overflow"
)

"""Products of bytes on this processor: exact or not, and their speed.

ONNX Runtime multiplies unsigned by signed bytes with what the processor has. With VNNI, or its Arm
counterpart, sums have 32 bits; without, pairs of products are added up in 16 bits, which overflow, and little
time is saved.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from onnx_demucs_compiler.runtime.session import session_options

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZE = 384
"""Rows and columns of the factors: those of a transformer's, so that a product takes some milliseconds."""

INTEGER = (
    "CAg6bgoYCgF4CgF3EgF5Ig1NYXRNdWxJbnRlZ2VyEg1NYXRNdWxJbnRlZ2VyWhUKAXgSEAoOCAISCgoDEgFuCgMSAWtaFQoB"
    "dxIQCg4IAxIKCgMSAWsKAxIBbWIVCgF5EhAKDggGEgoKAxIBbgoDEgFtQgQKABAS"
)
"""An ONNX file in base64: ``y = MatMulInteger(x, w)``, ``x`` uint8 ``[n, k]``, ``w`` int8 ``[k, m]``."""

PLAIN = (
    "CAg6YAoRCgF4CgF3EgF5IgZNYXRNdWwSBk1hdE11bFoVCgF4EhAKDggBEgoKAxIBbgoDEgFrWhUKAXcSEAoOCAESCgoDEgFr"
    "CgMSAW1iFQoBeRIQCg4IARIKCgMSAW4KAxIBbUIECgAQEg=="
)
"""Likewise ``y = MatMul(x, w)`` of float32: ``separate`` does without the package that builds models."""

ROUNDS = 5

WORTHWHILE = 1.5
"""The least speed of a product of bytes that outweighs the conversion of its signal."""


@dataclass(frozen=True)
class EightBits:
    """Products of bytes on this processor.

    Attributes:
        exact: whether their sums are.
        speed: relative to products of float32.
    """

    exact: bool
    speed: float

    @property
    def lack(self) -> str:
        """The predicate of a sentence on what is missing; empty for nothing."""
        if not self.exact:
            return "adds products of bytes up in 16 bits, which overflow"
        if self.speed < WORTHWHILE:
            return f"multiplies bytes only {self.speed:.1f} times as fast as float32"
        return ""


def drawback(precision: str) -> tuple[str, ...]:
    """A warning where eight bits are less here than elsewhere.

    Args:
        precision: of the artifact, as its metadata names it; nothing is measured for any but ``int8``.
    """
    if precision != "int8" or not (lack := eight_bits().lack):
        return ()
    promise = (
        "verify says how near its stems are here, and compile --quality exact makes one without eight bits"
    )
    return (f"this processor {lack}, and the model computes in eight bits; {promise}",)


@cache
def eight_bits() -> EightBits:
    """Products of bytes as measured here, on one thread."""
    integer, plain = _session(INTEGER), _session(PLAIN)
    loudest = {"x": np.full((SIZE, SIZE), 255, np.uint8), "w": np.full((SIZE, SIZE), 127, np.int8)}
    ones = dict.fromkeys(("x", "w"), np.ones((SIZE, SIZE), np.float32))
    [product] = integer.run(None, loudest)
    rounds = [(_seconds(integer, loudest), _seconds(plain, ones)) for _ in range(ROUNDS)]
    fast, slow = (min(times) for times in zip(*rounds, strict=True))
    return EightBits(bool((product == 255 * 127 * SIZE).all()), slow / fast)


def _session(model: str) -> onnxruntime.InferenceSession:
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(base64.b64decode(model), session_options(1), providers=providers)


def _seconds(session: onnxruntime.InferenceSession, factors: dict[str, NDArray[Any]]) -> float:
    start = perf_counter()
    session.run(None, factors)
    return perf_counter() - start

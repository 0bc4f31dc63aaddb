"""Shapes of graphs that some rules build and others look for.

Each is a function of ``op``. Given a builder of nodes it makes the form, and given the builder of
onnxscript's patterns it describes it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

GELU = {"root": math.sqrt(2), "one": 1.0, "half": 0.5}
"""The numbers of :func:`gelu` by name."""


def attended(op: Any, scores: Any, value: Any) -> Any:
    """``softmax(S) V``, with scores ``[…, queries, keys]`` and values ``[…, keys, width]``."""
    return op.MatMul(op.Softmax(scores, axis=-1), value)


def gelu(op: Any, x: Any, number: Callable[[str], Any]) -> Any:
    """``(x · (1 + erf(x / √2))) · ½``, with the numbers of :data:`GELU`."""
    doubled = op.Mul(x, op.Add(op.Erf(op.Div(x, number("root"))), number("one")))
    return op.Mul(doubled, number("half"))


def gated(op: Any, content: Any, gate: Any) -> Any:
    """``a · sigmoid(b)``, for two values of one shape."""
    return op.Mul(content, op.Sigmoid(gate))

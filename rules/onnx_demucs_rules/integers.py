"""Whole numbers that nodes take as inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

if TYPE_CHECKING:
    from collections.abc import Sequence


def stored_integers(graph: ir.Graph, numbers: Sequence[int]) -> ir.Value:
    """The outer graph's initializer of these numbers, made once."""
    name = f"integers_{'_'.join(map(str, numbers))}"
    if name not in graph.initializers:
        array = ir.tensor(np.array(numbers, np.int64), name=name)
        graph.register_initializer(ir.Value(name=name, const_value=array))
    return graph.initializers[name]

"""The operators for which released runtimes have kernels.

``kernels.json`` is what ``benchmarks/runtime_kernels.py`` read out of the released packages themselves:

- ``official``: the PyPI packages onnxruntime, by the list of kernels that the CPU provider registers, and the
  newest opset and IR version that each of them opens;
- ``webgpu``: the PyPI package onnxruntime-ep-webgpu, which is ONNX Runtime's WebGPU provider in C++ and what
  ``onnxruntime-web/webgpu`` is built with, likewise;
- ``jsep``: the table in the npm package onnxruntime-web of what the WebGPU provider in TypeScript, which
  ``import "onnxruntime-web"`` brings, supports.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from onnx_demucs_compiler.contracts.artifact import Node

NEVER_RUN = frozenset({"Constant", "Identity"})
"""What ONNX Runtime takes out of any graph before it runs."""


@dataclass(frozen=True)
class Runtime:
    """The releases of a runtime, oldest first.

    Attributes:
        limits: the newest ``opset`` and ``ir`` that each release opens.
        since: by domain, operator and version, the first release that has a kernel.
    """

    limits: Mapping[str, Mapping[str, int]]
    since: Mapping[str, Mapping[str, Mapping[str, str]]]

    def has_domain(self, domain: str) -> bool:
        """True if any operator of a domain has a kernel."""
        return domain in self.since

    def first_with(self, node: Node) -> str | None:
        """The first release with a kernel for a node or its function."""
        if node.op in NEVER_RUN or node.function:
            return self.first()
        return self.kernel_since(node)

    def kernel_since(self, node: Node) -> str | None:
        """The first release with a kernel for a node as it is."""
        return self.since.get(node.domain, {}).get(node.op, {}).get(str(node.version))

    def first_to_open(self, kind: str, version: int) -> str | None:
        """The first release that opens an ``opset`` or ``ir`` version."""
        return self._first(lambda release: self.limits[release][kind] >= version)

    def first(self) -> str:
        """The oldest release."""
        return next(iter(self.limits))

    def newest(self) -> str:
        """The newest release."""
        return list(self.limits)[-1]

    def later(self, release: str, than: str) -> bool:
        """True if a release came after another."""
        order = list(self.limits)
        return order.index(release) > order.index(than)

    def _first(self, condition: Callable[[str], bool]) -> str | None:
        return next((release for release in self.limits if condition(release)), None)


@cache
def runtime(name: str) -> Runtime:
    """``official``, ``webgpu`` or ``jsep``."""
    table = json.loads((files(__package__) / "kernels.json").read_text(encoding="utf-8"))[name]
    return Runtime(table["releases"], table["since"])

"""The kernels that a model needs, and those that a config keeps."""

from __future__ import annotations

import re
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.ort.tools import FbsTypeInfo, fbs, items, parse_config

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ONNX_DOMAIN = "ai.onnx"
"""How a config calls the domain that models call by an empty name."""

_DOMAINS = {"kOnnxDomain": ONNX_DOMAIN, "kMLDomain": "ai.onnx.ml", "kMSDomain": "com.microsoft"}
_ALLOWED_TYPES = re.compile(
    r"ORT_SPECIFY_OP_KERNEL_ARG_ALLOWED_TYPES\((\w+), (\w+), (Input|Output), (\d+), (.+)\);"
)


class Operator(NamedTuple):
    """An operator as kernels are registered for it."""

    domain: str
    since_version: int
    name: str

    def __str__(self) -> str:
        return f"{self.domain};{self.since_version};{self.name}"


class Argument(NamedTuple):
    """An input or output of an operator, in all of its versions."""

    domain: str
    operator: str
    side: str
    position: int

    def __str__(self) -> str:
        return f"{self.side.lower()} {self.position} of {self.domain} {self.operator}"


@dataclass(frozen=True)
class Kernels:
    """A choice of ONNX Runtime's kernels.

    Attributes:
        operators: what there are kernels for.
        types: the types of inputs and outputs, by their names in C++.
    """

    operators: frozenset[Operator]
    types: Mapping[Argument, frozenset[str]]


def resolved(models: Iterable[bytes | memoryview]) -> Kernels:
    """The kernels of ORT-format models' nodes, bodies of loops included.

    A node of an ORT-format model holds the version under which its kernel is looked up.
    """
    operators: set[Operator] = set()
    types: defaultdict[Argument, set[str]] = defaultdict(set)
    for model in models:
        file = fbs.InferenceSession.InferenceSession.GetRootAs(model, 0)
        for node, type_of in _nodes(file.Model().Graph(), {}):
            domain, name = node.Domain().decode() or ONNX_DOMAIN, node.OpType().decode()
            operators.add(Operator(domain, node.SinceVersion(), name))
            for side in ("Input", "Output"):
                for index, value in enumerate(items(node, f"{side}s")):
                    if value in type_of:
                        types[Argument(domain, name, side, index)].add(type_of[value])
    return Kernels(frozenset(operators), {key: frozenset(value) for key, value in types.items()})


def _nodes(graph: Any, outer: dict[bytes, str]) -> Iterator[tuple[Any, dict[bytes, str]]]:
    """Every node of a graph and its bodies, with types in scope."""
    type_of = outer | {
        value.Name(): FbsTypeInfo.typeinfo_to_str(value.Type())
        for value in items(graph, "NodeArgs")
        if value.Name()
    }
    for node in items(graph, "Nodes"):
        yield node, type_of
        for attribute in items(node, "Attributes"):
            if attribute.Type() == fbs.AttributeType.AttributeType.GRAPH:
                yield from _nodes(attribute.G(), type_of)


def kept(config: bytes) -> Kernels:
    """The kernels that a reduced-operator config keeps in a build.

    Types are those that the build would write into its C++; an argument without any is not restricted.

    Raises:
        CompilerError: it is not such a config.
    """
    with tempfile.TemporaryDirectory(prefix="onnx-demucs-ort-") as folder:
        path = Path(folder, "kept.config")
        path.write_bytes(config)
        try:
            required, types = parse_config(str(path), enable_type_reduction=True)
            entries = types.get_cpp_entries() if types else []
        except (ValueError, RuntimeError, TypeError, AttributeError) as error:
            raise CompilerError(f"it is not a reduced-operator config ({error})") from error
    if required is None:
        raise CompilerError("it keeps every operator")
    operators = {
        Operator(domain, version, name)
        for domain, versions in required.items()
        for version, names in versions.items()
        for name in names
    }
    return Kernels(frozenset(operators), dict(_allowed_types(entries)))


def _allowed_types(entries: Iterable[str]) -> Iterator[tuple[Argument, frozenset[str]]]:
    for match in filter(None, map(_ALLOWED_TYPES.fullmatch, entries)):
        domain, operator, side, index, types = match.groups()
        yield Argument(_DOMAINS[domain], operator, side, int(index)), frozenset(types.split(", "))

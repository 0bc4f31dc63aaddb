"""Writing down what a compile looks like between two rules."""

from __future__ import annotations

import difflib
import hashlib
import re
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from onnx_demucs_compiler.artifact.writing import write_atomically
from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.observe.observer import Moment, Observer
from onnx_demucs_compiler.rules.rule import RULE_KEY
from onnx_demucs_compiler.tracing.source import origin_in_graph

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch.export import ExportedProgram

WEIGHTS = "weights.bin"

INLINE = 256
"""Bytes up to which a constant stays in the graph's own file."""

ALIGNMENT = 64

_FILE = re.compile(rf"\d{{3,}}-[a-z0-9-]+\.(txt|onnx|diff)|{re.escape(WEIGHTS)}")


def check_dump(folder: Path, *, force: bool) -> None:
    """Fail early if a dump cannot be written.

    Raises:
        UsageError: the folder holds something that is not to be replaced, or is no dump.
        CompilerError: the folder that it goes into is not there.
    """
    if not folder.parent.is_dir():
        raise CompilerError(f"{folder}: the folder {folder.parent} does not exist; create it first")
    if not folder.exists():
        return
    if not folder.is_dir() or not all(_FILE.fullmatch(path.name) for path in folder.iterdir()):
        raise UsageError(f"{folder} is not a dump, and would be replaced by one; give another name")
    if any(folder.iterdir()) and not force:
        raise UsageError(f"{folder} holds a dump; give --force to replace it")


class Dump(Observer):
    """A folder of programs as text, graphs as ONNX, and rules' diffs.

    All graphs share one file of weights, in which each is stored once. They load in onnx and run in ONNX
    Runtime. What is written stays when the compile fails.
    """

    def __init__(self, folder: Path, *, force: bool = False) -> None:
        """Make the folder, or clear an earlier dump.

        Raises:
            UsageError: it holds something that is not to be replaced.
            CompilerError: it cannot be made.
        """
        check_dump(folder, force=force)
        self.folder = folder
        try:
            folder.mkdir(exist_ok=True)
            for file in folder.iterdir():
                file.unlink()
        except OSError as error:
            raise CompilerError(f"{folder}: cannot be created ({error.strerror})") from error
        self._moment, self._lines = "", list[str]()
        self._offsets: dict[bytes, int] = {}
        self._size = 0

    def program(self, moment: Moment, program: ExportedProgram) -> None:
        """Write ``100-trace.txt`` and ``200-decompose.txt``."""
        text = program.graph_module.print_readable(print_output=False)
        write_atomically(self.folder / f"{moment}.txt", text.encode())

    def model(self, moment: Moment, model: ir.Model) -> None:
        """Write the graph, and its diff from the one before."""
        before, earlier = self._lines, self._moment
        self._lines, self._moment = list(_lines(model)), str(moment)
        write_atomically(self.folder / f"{moment}.onnx", self._small(model).SerializeToString())
        if before:
            diff = difflib.unified_diff(before, self._lines, earlier, self._moment, n=1, lineterm="")
            write_atomically(self.folder / f"{moment}.diff", "".join(f"{line}\n" for line in diff).encode())

    def _small(self, model: ir.Model) -> onnx.ModelProto:
        """The model without weights and without the exporter's paths and stack traces."""
        copy = model.clone()
        for node in copy.graph.all_nodes():
            origin, rule = origin_in_graph(node), node.metadata_props.get(RULE_KEY)
            known = {RULE_KEY: rule, "source": origin.source, "module": origin.module}
            node.metadata_props.clear()
            node.metadata_props.update({key: value for key, value in known.items() if value})
        for value in copy.graph.initializers.values():
            tensor = value.const_value
            if tensor is not None and tensor.nbytes > INLINE and tensor.dtype != ir.DataType.STRING:
                value.const_value = self._stored(tensor, value)
        return ir.to_proto(copy)

    def _stored(self, tensor: ir.TensorProtocol, value: ir.Value) -> ir.ExternalTensor:
        data = tensor.tobytes()
        key = hashlib.sha256(data).digest()
        if key not in self._offsets:
            self._offsets[key] = -(-self._size // ALIGNMENT) * ALIGNMENT
            self._append(data, self._offsets[key])
        return ir.ExternalTensor(
            WEIGHTS, self._offsets[key], len(data), tensor.dtype,
            shape=ir.Shape(tensor.shape.numpy()), name=str(value.name), base_dir=self.folder,
        )  # fmt: skip

    def _append(self, data: bytes, offset: int) -> None:
        path = self.folder / WEIGHTS
        try:
            with path.open("ab") as file:
                file.write(b"\0" * (offset - self._size) + data)
        except OSError as error:
            raise CompilerError(f"{path}: cannot be written ({error.strerror})") from error
        self._size = offset + len(data)


def _lines(model: ir.Model) -> Iterator[str]:
    """The graph as text, a value or node per line, without numbering."""
    for name, values in (
        ("input", model.graph.inputs),
        ("initializer", model.graph.initializers.values()),
        ("output", model.graph.outputs),
    ):
        for value in values:
            yield f"{name} {value.name} {_type(value)}"
    for node in model.graph:
        text = onnx.printer.to_text(ir.serde.serialize_node(node)).strip()
        yield f"{text}  # {', '.join(map(_type, node.outputs))}"


def _type(value: ir.Value) -> str:
    kind = value.dtype.name.lower() if value.dtype is not None else "?"
    return f"{kind}{value.shape if value.shape is not None else '[?]'}"

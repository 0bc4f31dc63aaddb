"""Reproducible bytes of ORT format, part of which ONNX Runtime orders arbitrarily.

A file begins with its root and with a table that resolves kernels, which ONNX Runtime writes in the order of
a hash map, another one each time; the model follows and is always the same. Offsets inside a flatbuffer
count from where they stand, and none leads from the model back to the beginning. So the beginning can be
written anew, in the order of the table's keys, before the model's own bytes.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from flatbuffers import Builder

from onnx_demucs_compiler.ort.tools import fbs, items

if TYPE_CHECKING:
    from collections.abc import Sequence

ALIGNMENT = 16
"""More than any value of the format needs, tensors included."""

_IDENTIFIER = b"ORTM"
_MODEL = 6
"""Of the root's fields, where the model's is listed."""


def canonical(file: bytes) -> bytes:
    """An ORT-format file whose bytes depend on what it says alone.

    Args:
        file: as ONNX Runtime wrote it.
    """
    root = fbs.InferenceSession.InferenceSession.GetRootAs(file, 0)
    model = root.Model()._tab.Pos
    # What describes the model's fields stands before it, unless an earlier table has the same fields.
    fields = model - struct.unpack_from("<i", file, model)[0]
    begin = min(model, fields)
    front = bytearray(_front(root.OrtVersion(), root.KernelTypeStrResolver()))
    front += bytes((begin - len(front)) % ALIGNMENT)
    table = fbs.InferenceSession.InferenceSession.GetRootAs(front, 0)._tab
    field = table.Pos + table.Offset(_MODEL)
    struct.pack_into("<I", front, field, len(front) + model - begin - field)
    return bytes(front) + file[begin:]


def _front(version: bytes, resolver: Any) -> bytes:
    """A file with this table; it stands in for the model, too."""
    builder = Builder()
    table = _resolver(builder, resolver)
    written_by = builder.CreateString(version)
    root = fbs.InferenceSession
    root.InferenceSessionStart(builder)
    root.InferenceSessionAddOrtVersion(builder, written_by)
    root.InferenceSessionAddModel(builder, table)
    root.InferenceSessionAddKernelTypeStrResolver(builder, table)
    builder.Finish(root.InferenceSessionEnd(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def _resolver(builder: Builder, resolver: Any) -> int:
    entries = sorted(items(resolver, "OpKernelTypeStrArgs"), key=lambda entry: entry.OpId())
    operators = [_operator(builder, entry) for entry in entries]
    vector = _vector(builder, operators)
    kind = fbs.KernelTypeStrResolver
    kind.KernelTypeStrResolverStart(builder)
    kind.KernelTypeStrResolverAddOpKernelTypeStrArgs(builder, vector)
    return int(kind.KernelTypeStrResolverEnd(builder))


def _operator(builder: Builder, entry: Any) -> int:
    kinds = sorted(items(entry, "KernelTypeStrArgs"), key=lambda kind: kind.KernelTypeStr())
    written = [_types(builder, kind) for kind in kinds]
    vector = _vector(builder, written)
    name = builder.CreateString(entry.OpId())
    kind = fbs.OpIdKernelTypeStrArgsEntry
    kind.OpIdKernelTypeStrArgsEntryStart(builder)
    kind.OpIdKernelTypeStrArgsEntryAddOpId(builder, name)
    kind.OpIdKernelTypeStrArgsEntryAddKernelTypeStrArgs(builder, vector)
    return int(kind.OpIdKernelTypeStrArgsEntryEnd(builder))


def _types(builder: Builder, entry: Any) -> int:
    vector = _vector(builder, [_argument(builder, argument) for argument in items(entry, "Args")])
    name = builder.CreateString(entry.KernelTypeStr())
    kind = fbs.KernelTypeStrArgsEntry
    kind.KernelTypeStrArgsEntryStart(builder)
    kind.KernelTypeStrArgsEntryAddKernelTypeStr(builder, name)
    kind.KernelTypeStrArgsEntryAddArgs(builder, vector)
    return int(kind.KernelTypeStrArgsEntryEnd(builder))


def _argument(builder: Builder, argument: Any) -> int:
    kind = fbs.ArgTypeAndIndex
    kind.ArgTypeAndIndexStart(builder)
    kind.ArgTypeAndIndexAddArgType(builder, argument.ArgType())
    kind.ArgTypeAndIndexAddIndex(builder, argument.Index())
    return int(kind.ArgTypeAndIndexEnd(builder))


def _vector(builder: Builder, items: Sequence[int]) -> int:
    builder.StartVector(4, len(items), 4)
    for item in reversed(items):
        builder.PrependUOffsetTRelative(item)
    return int(builder.EndVector())

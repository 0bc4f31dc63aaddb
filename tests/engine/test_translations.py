"""Exports share torch.onnx's translations, and nothing that one of them registers."""

import torch
from torch.onnx._internal.exporter._registration import ONNXRegistry

from onnx_demucs_compiler.tracing.translations import translations_read_once

SIN = torch.ops.aten.sin.default


def test_what_one_export_registers_is_unknown_to_the_next() -> None:
    with translations_read_once():
        first = ONNXRegistry().from_torchlib(opset_version=18)
        before = first.get_decomps(SIN)
        first.register_op(SIN, lambda x: x)
        second = ONNXRegistry().from_torchlib(opset_version=18)
    assert len(first.get_decomps(SIN)) == len(before) + 1
    assert second.get_decomps(SIN) == before != []


def test_it_is_the_registry_that_torch_makes() -> None:
    with translations_read_once():
        shared = ONNXRegistry().from_torchlib(opset_version=21)
    own = ONNXRegistry().from_torchlib(opset_version=21)
    assert shared.opset_version == own.opset_version == 21
    assert shared.functions == own.functions


def test_afterwards_torch_reads_them_itself() -> None:
    before = ONNXRegistry.__dict__["from_torchlib"]
    with translations_read_once():
        assert ONNXRegistry.__dict__["from_torchlib"] is not before
    assert ONNXRegistry.__dict__["from_torchlib"] is before

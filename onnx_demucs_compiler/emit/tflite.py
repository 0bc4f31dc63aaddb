"""LiteRT, once TensorFlow Lite, by way of litert-torch."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from typing import TYPE_CHECKING, Any

import torch.utils._pytree as pytree
from torch import nn

from onnx_demucs_compiler.emit.emitter import METADATA, Converted, Emitter, as_json
from onnx_demucs_compiler.targets import TFLITE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor
    from torch.export import ExportedProgram

    from onnx_demucs_compiler.emit.emitter import Arrays, Names, Run


def convert(program: ExportedProgram, names: Names, metadata: Mapping[str, str]) -> Converted:
    """Convert the program as one signature, with inputs and outputs by name."""
    import litert_torch

    samples = dict(zip(names.inputs, program.example_inputs[0], strict=True))
    model = litert_torch.convert(_ByName(program, names), sample_kwargs=samples)
    content = _with_file(model.model_content(), METADATA, as_json(metadata))
    return Converted(content, operators(content))


class _ByName(nn.Module):
    """The program with keywords, which litert-torch takes names from."""

    def __init__(self, program: ExportedProgram, names: Names) -> None:
        super().__init__()
        self.program, self.names = program.module(check_guards=False), names

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        outputs = pytree.tree_leaves(self.program(*inputs.values()))
        return dict(zip(self.names.outputs, outputs, strict=True))


def _with_file(model: bytes, name: str, text: str) -> bytes:
    """Put a file behind a model, where unzip finds it."""
    buffer = io.BytesIO(model)
    with zipfile.ZipFile(buffer, "a") as behind:
        behind.writestr(zipfile.ZipInfo(name), text)
    return buffer.getvalue()


def operators(content: bytes) -> dict[str, int]:
    """The number of LiteRT's operators, the most frequent first."""
    from ai_edge_litert.interpreter import OpResolverType

    plain = _interpreter(
        content, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    counts = Counter(facts["op_name"] for facts in plain._get_ops_details())
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def open_model(content: bytes, names: Names) -> Run:
    """Open the file in LiteRT's interpreter, with XNNPACK."""
    interpreter = _interpreter(content)
    interpreter.allocate_tensors()
    signature = interpreter.get_signature_runner()

    def run(inputs: Arrays) -> Arrays:
        found = signature(**dict(zip(names.inputs, inputs, strict=True)))
        return [found[name] for name in names.outputs]

    return run


def _interpreter(content: bytes, **options: Any) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_content=content, **options)


EMITTER = Emitter(
    target=TFLITE,
    convert=convert,
    open=open_model,
    packages={"litert_torch": "litert-torch", "ai_edge_litert": "ai-edge-litert"},
    extra="litert",
)

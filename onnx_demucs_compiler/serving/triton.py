"""A model of Triton Inference Server's model repository.

The repository is a folder of models, ``NAME/config.pbtxt`` and ``NAME/1/model.onnx``. The config is a
``ModelConfig`` of Triton's ``model_config.proto`` in protobuf's text format; the README of Triton's
``onnxruntime_backend`` says what its parameters mean.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.text_encoding import CEscape

from onnx_demucs_compiler.artifact.metadata import PREFIX
from onnx_demucs_compiler.artifact.writing import check_folder, check_replaceable, write_folder
from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.runtime.devices import CUDA

CONFIG = Path("config.pbtxt")
VERSION = Path("1")
MODEL = VERSION / "model.onnx"

MAX_BATCH = 4
"""Mixes that the server puts into one run; what Triton takes itself for a model with an open batch."""

SESSION = {
    "execution_mode": "0",
    "inter_op_thread_count": "1",
    "intra_op_thread_count": "0",
    "enable_mem_pattern": "0",
}
"""The options of :func:`onnx_demucs_compiler.runtime.session.session_options`.

The threads of an operator are left to ONNX Runtime, one for each core of the server.
"""

FACTS = (
    "sources",
    "sample_rate",
    "audio_channels",
    *(PREFIX + fact for fact in ("interface", "segment", "n_fft", "overlap", "fade_step", "context")),
)
"""Metadata that a client needs, and of which Triton shows it only what is in the config."""

TYPES = {"FLOAT": "FP32", "DOUBLE": "FP64", "FLOAT16": "FP16", "BFLOAT16": "BF16"}
"""Triton's names of types, where they are not those of ONNX."""
SAME_TYPES = ("BOOL", "STRING", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")


def check_triton(folder: Path, *, force: bool) -> None:
    """Fail early if a model of a repository cannot be written.

    Args:
        folder: the model's, in the repository's.
        force: replace an earlier one.

    Raises:
        UsageError: something is there, and is not to be replaced, or is more than what is written.
        CompilerError: the folder that the repository goes into, or lies in, is missing or read-only.
    """
    repository = folder.parent
    if not repository.exists():
        check_folder(repository, marked_by=folder.name)
        return
    if not repository.is_dir():
        raise UsageError(f"{repository} is a file, and a model repository is a folder; give another name")
    check_replaceable(folder, force=force)
    check_folder(folder, marked_by=str(CONFIG))
    if {path.relative_to(folder) for path in folder.rglob("*")} - {CONFIG, VERSION, MODEL}:
        raise UsageError(
            f"{folder} holds more than {CONFIG} and {MODEL}, and would be replaced; move it away"
        )


def write_triton(folder: Path, model: onnx.ModelProto, data: bytes, *, force: bool = False) -> Path:
    """Write a model of a repository, whole or not at all.

    The repository is made if there is none.

    Args:
        folder: the model's, in the repository's; its name is the model's.
        model: the model.
        data: its bytes.
        force: replace an earlier one.

    Returns:
        The path of the ``.onnx`` file in it.

    Raises:
        UsageError: something is there, and is not to be replaced, or is more than what is written.
        CompilerError: it cannot be written, or Triton has no type for an input or output.
    """
    check_triton(folder, force=force)
    files = {CONFIG: triton_config(model).encode(), MODEL: data}
    place = folder if folder.parent.exists() else folder.parent
    write_folder(place, {(folder / path).relative_to(place).as_posix(): data for path, data in files.items()})
    return folder / MODEL


def triton_config(model: onnx.ModelProto) -> str:
    """The ``config.pbtxt`` of a compiled model.

    The server batches requests where the first size of every input and output is the open batch, and
    then leaves that size out of ``dims``. The model's name is its folder's.

    Raises:
        CompilerError: Triton has no type for an input or output.
    """
    inputs, outputs = model.graph.input, model.graph.output
    batched = all(_has_open_batch(port) for port in (*inputs, *outputs))
    facts = {prop.key: prop.value for prop in model.metadata_props}
    parameters = SESSION | {key: facts[key] for key in FACTS if facts.get(key)}
    lines = [
        "# Written by onnx-demucs compile.",
        'backend: "onnxruntime"',
        f"max_batch_size: {MAX_BATCH if batched else 0}",
        *(["dynamic_batching { }"] if batched else []),
        *(f"input {_port(port, batched)}" for port in inputs),
        *(f"output {_port(port, batched)}" for port in outputs),
        "instance_group { kind: KIND_AUTO count: 1 }",
        f"optimization {{ execution_accelerators {{ gpu_execution_accelerator {_cuda()} }} }}",
        *(
            f"parameters {{ key: {_quoted(key)} value {{ string_value: {_quoted(value)} }} }}"
            for key, value in parameters.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def _has_open_batch(port: onnx.ValueInfoProto) -> bool:
    sizes = port.type.tensor_type.shape.dim
    return bool(sizes) and sizes[0].dim_param == "batch"


def _port(port: onnx.ValueInfoProto, batched: bool) -> str:
    """One input or output; sizes that stay open are -1.

    Triton takes no empty ``dims``: a scalar is shown to clients as one element.
    """
    tensor = port.type.tensor_type
    sizes = [size.dim_value if size.HasField("dim_value") else -1 for size in tensor.shape.dim][batched:]
    reshape = "" if sizes else " reshape { shape: [ ] }"
    kind = _type(port.name, onnx.TensorProto.DataType.Name(tensor.elem_type))
    return f"{{ name: {_quoted(port.name)} data_type: TYPE_{kind} dims: {sizes or [1]}{reshape} }}"


def _type(name: str, kind: str) -> str:
    if kind not in TYPES and kind not in SAME_TYPES:
        raise CompilerError(f"{name} is of type {kind}, which Triton does not have; cast it in the model")
    return TYPES.get(kind, kind)


def _cuda() -> str:
    """The provider for a GPU, with the options of ``separate --device cuda``."""
    options = (
        f"parameters {{ key: {_quoted(key)} value: {_quoted(value)} }}" for key, value in CUDA.options.items()
    )
    return f'{{ name: "cuda" {" ".join(options)} }}'


def _quoted(text: str) -> str:
    return f'"{CEscape(text, as_utf8=True)}"'

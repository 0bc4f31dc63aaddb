"""Core ML's packages, by way of coremltools.

Core ML runs on Apple's systems only; elsewhere a package is converted and read back.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

import numpy as np

from onnx_demucs_compiler.emit.emitter import Converted, Emitter
from onnx_demucs_compiler.emit.repairs import repaired
from onnx_demucs_compiler.targets import MLPACKAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch.export import ExportedProgram

    from onnx_demucs_compiler.emit.emitter import Names

PRECISIONS = {"fp32": "FLOAT32", "fp16": "FLOAT16"}
MANIFEST = "Manifest.json"
DATE = "com.github.apple.coremltools.conversion_date"


def convert(program: ExportedProgram, names: Names, metadata: Mapping[str, str]) -> Converted:
    """Convert the program for iOS 18, which has attention.

    It computes in the precision that the metadata name, between inputs and outputs of float32.
    """
    import coremltools

    inputs = [
        coremltools.TensorType(name=name, shape=tuple(value.shape), dtype=np.float32)
        for name, value in zip(names.inputs, program.example_inputs[0], strict=True)
    ]
    model = coremltools.convert(
        repaired(program).run_decompositions({}),
        inputs=inputs,
        outputs=[coremltools.TensorType(name=name, dtype=np.float32) for name in names.outputs],
        minimum_deployment_target=coremltools.target.iOS18,
        compute_precision=coremltools.precision[PRECISIONS[metadata["precision"]]],
        skip_model_load=True,
    )
    model.user_defined_metadata.update(metadata)
    del model.user_defined_metadata[DATE]
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder, "model.mlpackage")
        model.save(str(package))
        paths = sorted(path for path in package.rglob("*") if path.is_file())
        files = {path.relative_to(package).as_posix(): path.read_bytes() for path in paths}
        found = operators(package)
    return Converted(files | {MANIFEST: _manifest(files[MANIFEST])}, found)


def operators(package: Path) -> dict[str, int]:
    """The number of MIL's operators in a package, the most frequent first."""
    import coremltools

    program = coremltools.models.MLModel(str(package), skip_model_load=True).get_spec().mlProgram
    main = program.functions["main"]
    block = main.block_specializations[main.opset]
    counts = Counter(operation.type for operation in block.operations if operation.type != "const")
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _manifest(text: bytes) -> bytes:
    """The manifest with identifiers that do not change from run to run."""
    manifest = json.loads(text)
    named = {
        key: str(uuid5(NAMESPACE_URL, entry["path"])) for key, entry in manifest["itemInfoEntries"].items()
    }
    entries = {named[key]: entry for key, entry in manifest["itemInfoEntries"].items()}
    manifest["itemInfoEntries"] = dict(sorted(entries.items()))
    manifest["rootModelIdentifier"] = named[manifest["rootModelIdentifier"]]
    return json.dumps(manifest, indent=4).encode()


EMITTER = Emitter(
    target=MLPACKAGE,
    convert=convert,
    open=None,
    packages={"coremltools": "coremltools"},
    extra="coreml",
)

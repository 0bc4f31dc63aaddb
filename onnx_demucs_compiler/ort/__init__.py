"""Files for reduced builds of ONNX Runtime: ORT format, operators and types."""

from onnx_demucs_compiler.ort.bundle import write_bundle
from onnx_demucs_compiler.ort.companions import companions
from onnx_demucs_compiler.ort.conversion import as_ort_format, ort_format
from onnx_demucs_compiler.ort.embedded import write_embedded
from onnx_demucs_compiler.ort.ops_config import check_ops_config, ops_config

__all__ = [
    "as_ort_format",
    "check_ops_config",
    "companions",
    "ops_config",
    "ort_format",
    "write_bundle",
    "write_embedded",
]

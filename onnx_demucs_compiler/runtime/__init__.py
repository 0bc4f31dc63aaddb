"""Separation without torch or demucs: numpy, onnxruntime, soundfile and soxr."""

from onnx_demucs_compiler.runtime.encoding import Encoding
from onnx_demucs_compiler.runtime.separator import SeparatedSong, Separator

__all__ = ["Encoding", "SeparatedSong", "Separator"]

"""Separation with numpy, onnxruntime, soundfile and soxr alone: nothing here imports torch or demucs."""

from onnx_demucs_compiler.runtime.encoding import Encoding
from onnx_demucs_compiler.runtime.separator import SeparatedSong, Separator

__all__ = ["Encoding", "SeparatedSong", "Separator"]

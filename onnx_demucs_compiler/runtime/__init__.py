"""Separation without torch or demucs: numpy, onnxruntime, soundfile and soxr."""

from onnx_demucs_compiler.runtime.encoding import Encoding
from onnx_demucs_compiler.runtime.job import SeparatedSong
from onnx_demucs_compiler.runtime.pipeline import Outcome
from onnx_demucs_compiler.runtime.separator import Separator
from onnx_demucs_compiler.runtime.songs import Song, find_songs

__all__ = ["Encoding", "Outcome", "SeparatedSong", "Separator", "Song", "find_songs"]

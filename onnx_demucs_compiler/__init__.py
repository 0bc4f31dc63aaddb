"""A graph-surgery compiler for torch.onnx: Demucs in, one waveform-to-stems ONNX graph out."""

from onnx_demucs_compiler._version import __version__

__all__ = ["__version__"]

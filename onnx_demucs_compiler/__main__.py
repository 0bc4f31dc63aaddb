"""``python -m onnx_demucs_compiler`` is ``onnx-demucs``."""

from onnx_demucs_compiler.cli import main

if __name__ == "__main__":
    main()

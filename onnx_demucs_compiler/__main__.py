"""The programs ``onnx-demucs`` and ``onnx-demucs-compile``; ``python -m onnx_demucs_compiler`` is the first.

Signals are minded before anything else is imported.
"""

import sys

from onnx_demucs_compiler.interruption import Interruptible, ignore


def main() -> None:
    """Run ``onnx-demucs``."""
    _run(sys.argv[1:])


def compile_main() -> None:
    """Run ``onnx-demucs-compile``, which is ``onnx-demucs compile``."""
    _run(["compile", *sys.argv[1:]])


def _run(arguments: list[str]) -> None:
    try:
        with Interruptible():
            from onnx_demucs_compiler.cli import main as run

            run(arguments)
    finally:
        ignore()


if __name__ == "__main__":
    main()

"""The programs ``onnx-demucs`` and ``onnx-demucs-compile``; ``python -m onnx_demucs_compiler`` is the first.

Signals are minded before anything else is imported.
"""

import gc
import sys
from collections.abc import Sequence

from onnx_demucs_compiler.interruption import Interruptible, ignore


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``onnx-demucs``, on the process' own arguments when None."""
    try:
        with Interruptible():
            from onnx_demucs_compiler.cli import app

            app(arguments, prog_name="onnx-demucs")
    finally:
        ignore()
        # The interpreter's last searches for garbage pass over what is frozen: a second after a compile.
        gc.freeze()


def compile_main() -> None:
    """Run ``onnx-demucs-compile``, which is ``onnx-demucs compile``."""
    main(["compile", *sys.argv[1:]])


if __name__ == "__main__":
    main()

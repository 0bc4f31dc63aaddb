"""Formats beside ONNX, made of the lowered program: one file, one format.

Each goes through its maker's own converter, which is imported inside its functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_compiler.emit import mlpackage, pt2, pte, tflite
from onnx_demucs_compiler.errors import CompilerError, UsageError

if TYPE_CHECKING:
    from onnx_demucs_compiler.emit.emitter import Emitter
    from onnx_demucs_compiler.options import Options

EMITTERS = {
    emitter.target.name: emitter for emitter in (pt2.EMITTER, tflite.EMITTER, pte.EMITTER, mlpackage.EMITTER)
}
"""Every format by name, which is also the suffix of its files."""


def emitter_for(options: Options) -> Emitter:
    """The emitter of the format that options ask for.

    Raises:
        UsageError: the format has fixed sizes, and one is to stay open.
        CompilerError: the tools that make it are not installed.
    """
    emitter = EMITTERS[options.made_for.name]
    open_sizes = [name for name in ("batch", "length") if getattr(options, name) == "dynamic"]
    if open_sizes and not emitter.open_sizes:
        raise UsageError(f"a .{emitter.target} has fixed sizes; give {' and '.join(open_sizes)} as a number")
    check_installed(emitter)
    return emitter


def check_installed(emitter: Emitter) -> None:
    """Fail early if the tools of a format are missing.

    Raises:
        CompilerError: they are not installed.
    """
    if missing := emitter.missing():
        raise CompilerError(
            f"a .{emitter.target} is made with {' and '.join(emitter.packages)}, and "
            f"{' and '.join(missing)} cannot be found; "
            f"run: python -m pip install 'onnx-demucs-compiler[{emitter.extra}]'"
        )

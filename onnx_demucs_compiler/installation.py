"""The two wheels of this package, and the check for the compiler's."""

import functools
import importlib.util

from onnx_demucs_compiler._version import __version__
from onnx_demucs_compiler.errors import CompilerError

COMPILER = "onnx-demucs-compiler"
RUNTIME = "onnx-demucs-runtime"


class MissingCompilerError(CompilerError, ImportError):
    """The compiler is not installed, or in another version than the runtime."""


def check_compiler(what: str) -> None:
    """Fail early if the compiler cannot be imported.

    Args:
        what: what needs it, as the message names it.

    Raises:
        MissingCompilerError: it is not installed, lacks PyTorch, or has another version than the runtime.
    """
    missing = [
        package
        for package, module in ((COMPILER, f"{__package__}.compiler"), ("PyTorch", "torch"))
        if importlib.util.find_spec(module) is None
    ]
    if missing:
        raise MissingCompilerError(
            f"{what} needs {missing[0]}, which is not installed: pip install {COMPILER}=={__version__}"
        )
    compiler, runtime = _installed(COMPILER), _installed(RUNTIME)
    if compiler and runtime and compiler != runtime:
        raise MissingCompilerError(
            f"{what} needs {COMPILER} and {RUNTIME} in one version, and {compiler} and {runtime} are "
            f"installed: pip install {COMPILER}=={runtime}"
        )


@functools.cache
def _installed(package: str) -> str | None:
    """The version that is installed; None of a folder on the path."""
    from importlib.metadata import PackageNotFoundError, version  # tens of milliseconds

    try:
        return version(package)
    except PackageNotFoundError:
        return None

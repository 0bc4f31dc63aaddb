"""Reading an ``.onnx`` file with its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

from onnx_demucs_compiler.errors import CompilerError

if TYPE_CHECKING:
    from pathlib import Path


def load_artifact(path: Path) -> onnx.ModelProto:
    """Read an ``.onnx`` file, and its external weights.

    Raises:
        CompilerError: there is no such file, it is not ONNX, or its weights are missing or damaged.
        OSError: it cannot be read.
    """
    if not path.is_file():
        raise CompilerError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError:
        raise
    except Exception as error:  # protobuf's errors share no narrower base
        advice = (
            "; parity is measured on the .onnx file that it was made from" if path.suffix == ".ort" else ""
        )
        raise CompilerError(f"{path} is not an ONNX model{advice}") from error
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except Exception as error:  # of onnx's checker, which share no narrower base, and of the system
        reason = " ".join(str(error).split())
        raise CompilerError(
            f"{path}: its weights in another file cannot be read ({reason}); put that file, whole, where the "
            "model was saved with it"
        ) from error
    return model

"""ORT-format models and the operators that they need, by ONNX Runtime's own tools."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from onnxruntime.tools.ort_format_model import create_config_from_models

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def converted(model: Path, folder: Path, level: str) -> Path:
    """``model`` in ORT format, optimised to ``level``; what ``folder`` has already is not made again."""
    folder.mkdir(parents=True, exist_ok=True)
    suffix = ".ort" if level == "all" else f".{level}.ort"
    found = folder / f"{model.stem}{suffix}"
    if found.exists() and found.stat().st_mtime > model.stat().st_mtime:
        return found
    subprocess.run(
        [sys.executable, "-m", "onnxruntime.tools.convert_onnx_models_to_ort", str(model),
         "--output_dir", str(folder), "--optimization_style", "Fixed"],
        check=True, stdout=sys.stderr,
        env=os.environ | {"ORT_CONVERT_ONNX_MODELS_TO_ORT_OPTIMIZATION_LEVEL": level},
    )  # fmt: skip
    return found


def operators_of(models: Sequence[Path], config: Path) -> Path:
    """Write what all of ``models`` need, with types, to ``config``."""
    create_config_from_models(models, config, enable_type_reduction=True)
    return config

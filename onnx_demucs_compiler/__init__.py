"""A graph-surgery compiler for torch.onnx: Demucs in, one waveform-to-stems ONNX graph out.

Everything here is imported when it is first used, so that ``onnx_demucs_compiler.runtime`` runs on
machines without PyTorch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler._version import __version__

if TYPE_CHECKING:
    from onnx_demucs_compiler.artifact import CompiledModel
    from onnx_demucs_compiler.compiler import compile  # noqa: A004 - the verb of the trade
    from onnx_demucs_compiler.errors import CompilerError, UsageError
    from onnx_demucs_compiler.loading import SourceModel, load_model
    from onnx_demucs_compiler.report import Report
    from onnx_demucs_compiler.rule import Rule
    from onnx_demucs_compiler.ruleset import RuleSet, plugins
    from onnx_demucs_compiler.verification import verify

    default: RuleSet

__all__ = [
    "CompiledModel",
    "CompilerError",
    "Report",
    "Rule",
    "RuleSet",
    "SourceModel",
    "UsageError",
    "__version__",
    "compile",
    "default",
    "load_model",
    "plugins",
    "verify",
]

_HOMES = {
    "CompiledModel": "artifact",
    "CompilerError": "errors",
    "Report": "report",
    "Rule": "rule",
    "RuleSet": "ruleset",
    "SourceModel": "loading",
    "UsageError": "errors",
    "compile": "compiler",
    "load_model": "loading",
    "plugins": "ruleset",
    "verify": "verification",
}


def __getattr__(name: str) -> Any:
    if name == "default":
        return importlib.import_module(f"{__name__}.ruleset").default_rules()
    if name in _HOMES:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

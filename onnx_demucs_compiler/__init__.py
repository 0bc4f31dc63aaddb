"""A graph-surgery compiler for torch.onnx: Demucs in, one waveform-to-stems ONNX graph out.

Everything here is imported when it is first used, so that ``onnx_demucs_compiler.runtime`` runs on
machines without PyTorch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler._version import __version__
from onnx_demucs_compiler.installation import check_compiler

if TYPE_CHECKING:
    from onnx_demucs_compiler.artifact.compiled import CompiledModel
    from onnx_demucs_compiler.artifact.emitted import EmittedModel
    from onnx_demucs_compiler.checking.verification import verify
    from onnx_demucs_compiler.compiler import compile  # noqa: A004 - the verb of the trade
    from onnx_demucs_compiler.errors import CompilerError, UsageError
    from onnx_demucs_compiler.loading import SourceModel, load_model
    from onnx_demucs_compiler.report import Report
    from onnx_demucs_compiler.rules.rule import Rule
    from onnx_demucs_compiler.rules.ruleset import RuleSet, plugins

    default: RuleSet

__all__ = [
    "CompiledModel",
    "CompilerError",
    "EmittedModel",
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
    "CompiledModel": "artifact.compiled",
    "CompilerError": "errors",
    "EmittedModel": "artifact.emitted",
    "Report": "report",
    "Rule": "rules.rule",
    "RuleSet": "rules.ruleset",
    "SourceModel": "loading",
    "UsageError": "errors",
    "compile": "compiler",
    "load_model": "loading",
    "plugins": "rules.ruleset",
    "verify": "checking.verification",
}


def __getattr__(name: str) -> Any:
    if name == "default":
        check_compiler(name)
        return importlib.import_module(f"{__name__}.rules.ruleset").default_rules()
    if name in _HOMES:
        if _HOMES[name] != "errors":
            check_compiler(name)
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

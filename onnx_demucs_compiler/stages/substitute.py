"""SUBSTITUTE: untraceable Python, replaced during the trace and then restored."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from onnx_demucs_compiler.rules.rule import Refusal
from onnx_demucs_compiler.tracing.source import Origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import torch

    from onnx_demucs_compiler.report import Recorder
    from onnx_demucs_compiler.rules.patch import Patch
    from onnx_demucs_compiler.rules.rule import Rule


@contextmanager
def substituted(module: torch.nn.Module, rules: Iterable[Rule], recorder: Recorder) -> Iterator[None]:
    """Apply the rules' patches in a ``with`` block, then undo them."""
    with ExitStack() as undo:
        for rule in rules:
            with recorder.running(rule):
                patches = rule.implementation(module)
                if isinstance(patches, Refusal):
                    recorder.refused(rule, Origin(type(module).__name__), patches.reason)
                    continue
                for patch in patches:
                    undo.enter_context(_patched(patch))
                    recorder.fired(rule, Origin(str(patch)))
        yield


@contextmanager
def _patched(patch: Patch) -> Iterator[None]:
    before = getattr(patch.owner, patch.attribute)
    # As it is stored: getattr unwraps a static method, and finds what a base class has.
    own = dict(vars(patch.owner))
    setattr(patch.owner, patch.attribute, patch.replacement)
    try:
        yield
    finally:
        if patch.attribute in vars(patch.owner) and patch.attribute not in own:
            delattr(patch.owner, patch.attribute)
        else:
            setattr(patch.owner, patch.attribute, own.get(patch.attribute, before))

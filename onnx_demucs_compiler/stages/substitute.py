"""SUBSTITUTE: Python that cannot be traced is replaced for the time of the trace and then put back."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler.rule import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import torch

    from onnx_demucs_compiler.report import Recorder
    from onnx_demucs_compiler.rule import Rule


@dataclass(frozen=True)
class Patch:
    """An attribute and what stands in for it.

    Attributes:
        owner: a Python module, class or ``nn.Module``.
        attribute: the name on it.
        replacement: the value during the trace.
    """

    owner: Any
    attribute: str
    replacement: Any

    def __str__(self) -> str:
        name = getattr(self.owner, "__name__", type(self.owner).__name__)
        return f"{name}.{self.attribute}"


@contextmanager
def substituted(module: torch.nn.Module, rules: Iterable[Rule], recorder: Recorder) -> Iterator[None]:
    """Apply the rules' patches inside a ``with`` block and undo them, last first, however it ends."""
    with ExitStack() as undo:
        for rule in rules:
            with recorder.timed(rule):
                patches = rule.implementation(module)
                if isinstance(patches, Refusal):
                    recorder.refused(rule, type(module).__name__, patches.reason)
                    continue
                for patch in patches:
                    undo.enter_context(_patched(patch))
                    recorder.fired(rule, str(patch))
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

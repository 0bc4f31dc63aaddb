"""A model's segment as a number instead of a Fraction."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from torch import nn

from onnx_demucs_compiler.rules import EXACT, Case, Patch, Refusal, substitute
from onnx_demucs_rules.examples import DEMUCS_NEEDS, plain_htdemucs

if TYPE_CHECKING:
    from collections.abc import Iterator


@substitute(
    name="segment-as-number",
    why="HTDemucs multiplies its sample rate by a Fraction inside forward: Python arithmetic that "
    "torch.export follows by running it and that other tracers refuse.",
    numerics=EXACT,
    tags={"tracing"},
    cases=[
        Case("htdemucs", plain_htdemucs, ((1, 2, 4096),), beside=("pad-without-assert", *DEMUCS_NEEDS)),
        Case("a-float-would-lose-a-sample", lambda: _with_segment(Fraction(23, 44101), 44101),
             ((1, 2, 100),), fires=0, because="as a float would not give 23 samples"),
        Case("no-fraction", lambda: nn.Conv1d(2, 2, 3), ((1, 2, 100),), fires=0),
    ],
)  # fmt: skip
def segment_as_number(module: nn.Module) -> list[Patch] | Refusal:
    """``Fraction(39, 5)`` → ``7.8``, where ``int(segment * samplerate)`` stays the same."""
    owners = list(_owners(module))
    for owner in owners:
        samples = int(owner.segment * owner.samplerate)
        if int(float(owner.segment) * owner.samplerate) != samples:
            return Refusal(f"the segment as a float would not give {samples} samples")
    return [Patch(owner, "segment", float(owner.segment)) for owner in owners]


def _owners(module: nn.Module) -> Iterator[Any]:
    for child in module.modules():
        if isinstance(getattr(child, "segment", None), Fraction) and hasattr(child, "samplerate"):
            yield child


def _with_segment(segment: Fraction, samplerate: int) -> nn.Module:
    module = nn.Conv1d(2, 2, 3)
    module.segment, module.samplerate = segment, samplerate  # type: ignore[assignment]
    return module

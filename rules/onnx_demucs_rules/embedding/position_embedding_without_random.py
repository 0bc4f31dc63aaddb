"""A position embedding that does not draw a random shift."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_compiler.rules import EXACT, Case, Patch, substitute
from onnx_demucs_rules.examples import DEMUCS_NEEDS, plain_htdemucs

if TYPE_CHECKING:
    from torch import nn


@substitute(
    name="position-embedding-without-random",
    why="With sin_random_shift > 0 demucs shifts the position embedding by random.randrange even in "
    "evaluation, so that two exports of one model differ.",
    numerics=EXACT,
    tags={"embedding"},
    cases=[
        Case("shifted", lambda: plain_htdemucs(t_layers=1, t_sin_random_shift=5), ((1, 2, 4096),),
             random=True, beside=("pad-without-assert", *DEMUCS_NEEDS)),
        Case("not-shifted", lambda: plain_htdemucs(t_layers=1), ((1, 2, 4096),), fires=0,
             beside=("pad-without-assert", *DEMUCS_NEEDS)),
    ],
)  # fmt: skip
def position_embedding_without_random(module: nn.Module) -> list[Patch]:
    """``random.randrange(sin_random_shift + 1)`` → ``random.randrange(1)``, which is 0."""
    owners = [child for child in module.modules() if getattr(child, "sin_random_shift", 0)]
    return [Patch(owner, "sin_random_shift", 0) for owner in owners]

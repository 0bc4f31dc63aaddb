"""The promises of ``--quality``: how far stems may be off.

A promise is about what is heard: the error of every stem against the mix that it comes from, and where the
stem is present, against the stem itself (:class:`~onnx_demucs_compiler.checking.fidelity.Gate`). It holds on
noise, on a synthetic song, and on the user's audio.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from onnx_demucs_compiler.checking.fidelity import Gate
from onnx_demucs_compiler.errors import CompilerError, UsageError


@dataclass(frozen=True)
class Promise:
    """A quality as the command line names it.

    Attributes:
        name: likewise.
        gate: for every stem on every signal.
        reduced: whether anything may be computed in fewer bits than float32.
        why: for whom it is.
    """

    name: str
    gate: Gate
    reduced: bool
    why: str

    def __str__(self) -> str:
        return self.name


EXACT = Promise(
    "exact", Gate.of("fp32", None), reduced=False, why="The model itself, as float32 computes it."
)
CAREFUL = Promise(
    "careful",
    Gate(40, max_error_to_mix_db=-45),
    reduced=True,
    why="Stems to listen to one by one.",
)
FAST = Promise(
    "fast",
    Gate(-math.inf, max_error_to_mix_db=-36),
    reduced=True,
    why="Stems to hear in a mix, such as karaoke.",
)

PROMISES = {promise.name: promise for promise in (EXACT, CAREFUL, FAST)}
"""Every promise, by name; :data:`onnx_demucs_compiler.options.QUALITIES` are the same names."""


def promise_named(name: str) -> Promise:
    """The promise of an artifact, by its name.

    Raises:
        CompilerError: there is none of that name.
    """
    if name not in PROMISES:
        raise CompilerError(
            f"the artifact's metadata promises the quality {name}, which this version does not know; "
            f"it knows {', '.join(PROMISES)}"
        )
    return PROMISES[name]


def check_alone(precision: str | None, min_snr_db: float | None, *, verify: bool) -> None:
    """Let a quality stand without what would say otherwise.

    Args:
        precision: asked for beside it.
        min_snr_db: likewise.
        verify: whether anything is measured.

    Raises:
        UsageError: it is beside one of these, or nothing is measured.
    """
    if precision is not None or min_snr_db is not None:
        raise UsageError("--quality chooses the precision and the gate; leave --precision and --min-snr out")
    if not verify:
        raise UsageError("--quality is a promise that is measured; leave --no-verify out")

"""One file in another engine, against ONNX Runtime.

Both run in turn. Nothing here needs torch.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from onnx_demucs_compiler.artifact.metadata import ArtifactMetadata
from onnx_demucs_compiler.checking.decibels import (
    ABSENT_DB,
    energy,
    error_energy,
    nan_lowest,
    snr_db,
    to_mix_db,
)
from onnx_demucs_compiler.checking.synthesis import synthetic_song
from onnx_demucs_compiler.contracts.reading import read_artifact
from onnx_demucs_compiler.engines import ONNXRUNTIME
from onnx_demucs_compiler.engines.process import EngineProcess
from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.runtime.graph import check_separator
from onnx_demucs_compiler.runtime.interfaces import host_side
from onnx_demucs_compiler.view.ports import Port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from onnx_demucs_compiler.engines.engine import Engine
    from onnx_demucs_compiler.engines.process import Cost

    Array = NDArray[Any]

ROUNDS = 3
TRACK_SEGMENTS = 2.5
"""The length of a track, where a run takes one."""


@dataclass(frozen=True)
class Agreement:
    """The agreement of one stem with ONNX Runtime's.

    Attributes:
        signal: what went in: ``noise`` or ``song``.
        output: the stem.
        snr_db: ``10·log10(Σ ref² / Σ (out - ref)²)``.
        error_to_mix_db: ``10·log10(Σ (out - ref)² / Σ mix²)``.
        reference_to_mix_db: of ONNX Runtime's stem.
    """

    signal: str
    output: str
    snr_db: float
    error_to_mix_db: float
    reference_to_mix_db: float

    @property
    def absent(self) -> bool:
        """True if the stem is too quiet in the mix for SNR."""
        return self.reference_to_mix_db < ABSENT_DB

    @property
    def gated_db(self) -> float:
        """SNR, or the distance of an absent stem's error below the mix."""
        return -self.error_to_mix_db if self.absent else self.snr_db


@dataclass(frozen=True)
class Costs:
    """An engine's costs on one thread, the least of several runs.

    Attributes:
        engine: its name.
        version: likewise.
        open_seconds: to open the file, conversion included.
        seconds: of a run.
        cpu_seconds: likewise.
        peak_mb: the most memory that the process held; None where the system does not tell.
        converted_bytes: of what the engine made of the file; 0 where it reads ONNX.
    """

    engine: str
    version: str
    open_seconds: float
    seconds: float
    cpu_seconds: float
    peak_mb: int | None
    converted_bytes: int


@dataclass(frozen=True)
class Comparison:
    """Another engine beside ONNX Runtime.

    Attributes:
        agreements: one for each signal and stem.
        costs: the engine's, then ONNX Runtime's.
        min_snr_db: the gate.
    """

    agreements: tuple[Agreement, ...]
    costs: tuple[Costs, Costs]
    min_snr_db: float

    @property
    def title(self) -> str:
        """The engine's name and version."""
        return f"{self.costs[0].engine} {self.costs[0].version}"

    @property
    def worst(self) -> Agreement:
        """The stem that agrees least; NaN is less than any number."""
        return min(self.agreements, key=lambda item: nan_lowest(item.gated_db))

    def check(self) -> None:
        """Let only an engine pass that reaches the gate.

        Raises:
            CompilerError: it does not.
        """
        worst = self.worst
        if not worst.gated_db >= self.min_snr_db:
            raise CompilerError(
                f"{self.title} is wrong on this file: {worst.output} on {worst.signal} reaches "
                f"{worst.gated_db:.1f} dB SNR against ONNX Runtime, below the gate of {self.min_snr_db:g} dB"
            )


def compare(path: Path, engine: Engine, min_snr_db: float | None = None, rounds: int = ROUNDS) -> Comparison:
    """Run an artifact in an engine and in ONNX Runtime.

    They run in turn, on one thread each.

    Args:
        path: the ``.onnx`` file.
        engine: the other engine.
        min_snr_db: the gate; the engine's own when None.
        rounds: how often each runs after the signals.

    Raises:
        UsageError: the file is in ORT format, or the gate is infinite or NaN.
        CompilerError: it is no separator of this compiler's, the engine is not installed, or one of the two
            fails or ends.
    """
    gate = engine.min_snr_db if min_snr_db is None else min_snr_db
    if not math.isfinite(gate):
        raise UsageError(f"--min-snr {gate} is not a gate; give a number of dB")
    subject = _Subject(path)
    engines = (engine, ONNXRUNTIME)
    with ExitStack() as stack:
        other, usual = (stack.enter_context(subject.opened_in(each)) for each in engines)
        agreements = tuple(
            agreement
            for signal, mix in subject.mixes.items()
            for agreement in subject.compare(signal, mix, other, usual)
        )
        feeds = subject.feeds(next(iter(subject.mixes.values())))
        runs = [[process.run(feeds)[1] for process in (other, usual)] for _ in range(rounds)]
        of_other, of_usual = zip(*runs, strict=True)
        return Comparison(agreements, (_least(other, of_other), _least(usual, of_usual)), gate)


class EngineSession:
    """An engine that runs like a session of ONNX Runtime.

    Its process starts when it is first given inputs, whose shapes some engines have to know.
    """

    def __init__(self, engine: Engine, path: Path) -> None:
        artifact = read_artifact(path)
        self._open = partial(EngineProcess, engine, path)
        self._inputs, self._outputs = tuple(artifact.inputs), tuple(artifact.outputs)
        self._processes = ExitStack()
        self._process: EngineProcess | None = None

    def get_inputs(self) -> list[Port]:
        """The inputs in their order."""
        return [Port(name, ()) for name in self._inputs]

    def run(self, _: None, feeds: Mapping[str, Array]) -> list[Array]:
        """The outputs, in their order, of inputs by name.

        Raises:
            CompilerError: the engine is not installed, refuses the file, fails or ends.
        """
        if self._process is None:
            shapes = {name: value.shape for name, value in feeds.items()}
            self._process = self._processes.enter_context(self._open(shapes, self._outputs))
        return self._process.run(feeds)[0]

    def close(self) -> None:
        """End the engine's process, if there is one."""
        self._processes.close()


class _Subject:
    """An artifact, its inputs and its stems."""

    def __init__(self, path: Path) -> None:
        artifact = read_artifact(path)
        if artifact.format != "onnx":
            raise UsageError(f"{path} is in ORT format, which only ONNX Runtime reads; give the .onnx file")
        metadata = ArtifactMetadata.from_props(artifact.metadata)
        check_separator(metadata)
        self._path, self._metadata, self._host = path, metadata, host_side(metadata)
        self._inputs, self._outputs = tuple(artifact.inputs), tuple(artifact.outputs)

    def opened_in(self, engine: Engine) -> EngineProcess:
        feeds = self.feeds(next(iter(self.mixes.values())))
        shapes = {name: value.shape for name, value in feeds.items()}
        return EngineProcess(engine, self._path, shapes, self._outputs)

    @cached_property
    def mixes(self) -> dict[str, Array]:
        """Noise and a synthetic song, float32 ``[B, C, N]``."""
        facts = self._metadata
        batch = 1 if facts.batch == "dynamic" else int(facts.batch)
        samples = facts.window if facts.overlap is None else int(TRACK_SEGMENTS * facts.segment)
        shape = (batch, facts.audio_channels, samples)
        noise = 0.1 * np.random.default_rng(0).standard_normal(shape, np.float32)
        song = synthetic_song(samples, facts.sample_rate, channels=batch * facts.audio_channels)
        return {"noise": noise, "song": song.reshape(shape)}

    def feeds(self, mix: Array) -> dict[str, Array]:
        """The graph's inputs for a mix, by name."""
        return dict(zip(self._inputs, self._host.feeds(mix), strict=True))

    def compare(
        self, signal: str, mix: Array, other: EngineProcess, usual: EngineProcess
    ) -> Iterator[Agreement]:
        feeds = self.feeds(mix)
        found, wanted = (self._host.stems(process.run(feeds)[0]) for process in (other, usual))
        if found.shape != wanted.shape:
            raise CompilerError(f"{other.title} gives stems {found.shape}; ONNX Runtime's are {wanted.shape}")
        of_mix = energy(mix)
        for index, stem in enumerate(self._metadata.sources):
            reference, output = wanted[:, index], found[:, index]
            yield Agreement(
                signal=signal,
                output=stem,
                snr_db=snr_db(reference, output),
                error_to_mix_db=to_mix_db(error_energy(reference, output), of_mix),
                reference_to_mix_db=to_mix_db(energy(reference), of_mix),
            )


def _least(process: EngineProcess, runs: Sequence[Cost]) -> Costs:
    return Costs(
        engine=process.engine.name,
        version=process.version,
        open_seconds=process.opening.seconds,
        seconds=min(cost.seconds for cost in runs),
        cpu_seconds=min(cost.cpu_seconds for cost in runs),
        peak_mb=runs[-1].peak_mb,
        converted_bytes=process.converted_bytes,
    )

"""An artifact's metadata, in ONNX ``metadata_props``.

The compiler writes it and the runtime reads it.

The plain keys (``sources``, ``sample_rate``, ``audio_channels``, ``precision``) are the dialect that
demucs-next clients already read; everything else is namespaced with ``onnx_demucs.``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnx_demucs_compiler.errors import CompilerError

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "onnx_demucs."

OVERLAPPING = 4
"""Frames of demucs' STFT that cover each sample: the hop is a quarter of the window."""


@dataclass(frozen=True)
class ArtifactMetadata:
    """The facts a client needs to drive an artifact without flags.

    Attributes:
        sources: stem names in the order of the ``stems`` output's second axis.
        sample_rate: in Hz.
        audio_channels: channels of the waveform input and of every stem.
        segment: samples per channel that one run takes.
        interface: ``waveform`` (``mix [B, C, N]`` in, ``stems [B, S, C, N]`` out), ``surrounded``, the same
            with :attr:`context`, ``core``, ``spectral`` or ``openkara``
            (:mod:`onnx_demucs_compiler.view.cuts`).
        precision: ``fp32``, ``fp16-weights``, ``int8``, or of Core ML ``fp16``.
        target: ``portable``, ``ort`` or ``web``, or the format beside ONNX.
        model: what was compiled, as the user named it.
        weights: sha256 of the parameters (hexadecimal), in the order of their names.
        provenance: where the weights come from, in words.
        rules: names of the rules that fired.
        versions: the packages that produced the file.
        n_fft: of the spectrum that the host computes for the interface; 0 where it computes none.
        batch: the first dimension of inputs and outputs: a number, or ``dynamic``.
        length: ``dynamic`` where a run takes any multiple of the model's hop, else ``segment``.
        other_method: how ``no_STEM`` came about (``add`` or ``minus``) where the sources are a stem and that;
            empty for others.
        model_sources: the sources of the model itself, of which :attr:`sources` may be a choice; empty in
            files from before this was told.
        checkpoints: the files that the weights were read from, each with its sha256 (hexadecimal); none for
            a module in memory or an untrained one.
        overlap: where one run takes a track of any length (``mix [C, samples]`` in, ``stems [S, C, samples]``
            out), the part of each segment that the next covers too; ``None`` for others.
        stored: bytes of the numbers in the file, by how they are stored
            (:mod:`onnx_demucs_compiler.graph.storage`).
        differing_segments: those that demucs' ``apply_model`` computes otherwise: ``none``, ``short`` ones at
            the end of a song, or ``all``; empty where nobody knows, as in files from before this was told.
        digest: of the rest of the file (:func:`onnx_demucs_compiler.artifact.digest.digest`); empty in files
            from before this was told.
        providers: for ``web``, the execution providers of onnxruntime-web that run all of the graph, fastest
            first: ``webgpu`` and ``wasm``, or ``wasm`` alone.
        fold_weights: whether what is computed from weights alone is stored.
        stopped_after: the last rule that was applied to a graph that is written to be looked at; empty for
            others.
        weights_license: of the weights, as the user named it; empty where nobody did.
        fade_step: samples between the starts of segments that fade into each other, of a mix as it is
            (:mod:`onnx_demucs_compiler.runtime.fades`); 0 where segments are those of demucs, of a
            normalised mix.
        context: samples of the song in a window on either side of its segment, where the window of a shorter
            segment is shorter; None where each is as long as a segment.
        hop: samples that an open length is a multiple of; 0 where the length is fixed.
        shortest: the least samples of an open length; 0 where it is fixed.
        quality: what was promised of the stems when it was compiled: ``exact``, ``careful`` or ``fast``;
            empty where a precision or a gate was asked for, or neither.
        promise: the same in words and dB.
    """

    sources: tuple[str, ...]
    sample_rate: int
    audio_channels: int
    segment: int
    interface: str
    precision: str
    target: str
    model: str
    weights: str
    rules: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]
    n_fft: int = 0
    batch: str = "1"
    length: str = "segment"
    other_method: str = ""
    model_sources: tuple[str, ...] = ()
    provenance: str = ""
    checkpoints: tuple[tuple[str, str], ...] = ()
    overlap: float | None = None
    stored: tuple[tuple[str, int], ...] = ()
    differing_segments: str = ""
    digest: str = ""
    providers: tuple[str, ...] = ()
    fold_weights: bool = False
    stopped_after: str = ""
    weights_license: str = ""
    fade_step: int = 0
    context: int | None = None
    hop: int = 0
    shortest: int = 0
    quality: str = ""
    promise: str = ""

    @property
    def window(self) -> int:
        """Samples of the longest window: a segment with its context."""
        return self.segment + 2 * (self.context or 0)

    def to_props(self) -> dict[str, str]:
        """The ``metadata_props`` of the model, in a fixed order."""
        return {
            "sources": json.dumps(list(self.sources)),
            "sample_rate": str(self.sample_rate),
            "audio_channels": str(self.audio_channels),
            "precision": self.precision,
            PREFIX + "segment": str(self.segment),
            PREFIX + "interface": self.interface,
            PREFIX + "target": self.target,
            PREFIX + "model": self.model,
            PREFIX + "weights": self.weights,
            PREFIX + "rules": json.dumps(list(self.rules)),
            PREFIX + "versions": json.dumps(dict(self.versions)),
            PREFIX + "n_fft": str(self.n_fft),
            PREFIX + "batch": self.batch,
            PREFIX + "length": self.length,
            PREFIX + "other_method": self.other_method,
            PREFIX + "model_sources": json.dumps(list(self.model_sources)),
            PREFIX + "provenance": self.provenance,
            PREFIX + "checkpoints": json.dumps(dict(self.checkpoints)),
            PREFIX + "track": json.dumps(self.overlap is not None),
            PREFIX + "overlap": "" if self.overlap is None else repr(self.overlap),
            PREFIX + "stored": json.dumps(dict(self.stored)),
            PREFIX + "differing_segments": self.differing_segments,
            PREFIX + "digest": self.digest,
            **({PREFIX + "providers": json.dumps(list(self.providers))} if self.providers else {}),
            **({PREFIX + "fold_weights": "true"} if self.fold_weights else {}),
            **({PREFIX + "stopped_after": self.stopped_after} if self.stopped_after else {}),
            **(self._openkara() if self.interface == "openkara" else {}),
            **(self._unblend() if self.interface == "spectral" else {}),
            **({"license": self.weights_license} if self.weights_license else {}),
            **({PREFIX + "fade_step": str(self.fade_step)} if self.fade_step else {}),
            **({} if self.context is None else {PREFIX + "context": str(self.context)}),
            **({PREFIX + "hop": str(self.hop), PREFIX + "shortest": str(self.shortest)} if self.hop else {}),
            **({PREFIX + "quality": self.quality, PREFIX + "promise": self.promise} if self.quality else {}),
        }

    def _unblend(self) -> dict[str, str]:
        """The keys that clients of unblend, once demucs-next, hold a file to."""
        return {
            "model_family": "demucs",
            "segment_samples": str(self.segment),
            "stft_n_fft": str(self.n_fft),
            "stft_hop_length": str(self.n_fft // OVERLAPPING),
            "stft_win_length": str(self.n_fft),
            "stft_window": "hann",
            "stft_normalized": "true",
            "external_normalization": "true",
            "weight_precision": self.precision.removesuffix("-weights"),
            "compute_precision": "fp32",
            "batch_mode": "dynamic" if self.batch == "dynamic" else "static",
        }

    def _openkara(self) -> dict[str, str]:
        """The keys of openkara's contract v1."""
        return {
            "openkara.model_cache_key": f"{self.model}-{self.weights[:16]}",
            "openkara.optimized_by": "onnx-demucs-compiler",
            "openkara.spectral_contract": "v1",
            "openkara.tensor_interface": "spectral,mix->spectral_out,time_out",
            "openkara.stem_profile": ",".join(self.sources),
            "openkara.input_semantics": "spectral [batch, channel, re/im, bin, frame]; "
            "mix [batch, channel, sample]",
            "openkara.output_semantics": "spectral_out [batch, stem, channel, re/im, bin, frame]; "
            "time_out [batch, stem, channel, sample]; a stem is istft(spectral_out) + time_out",
        }

    @classmethod
    def from_props(cls, props: Mapping[str, str]) -> ArtifactMetadata:
        """Read back what :meth:`to_props` wrote.

        Raises:
            CompilerError: the properties are not those of an artifact of this compiler.
        """
        try:
            return cls(
                sources=_names(props["sources"]),
                sample_rate=int(props["sample_rate"]),
                audio_channels=int(props["audio_channels"]),
                segment=int(props[PREFIX + "segment"]),
                interface=props[PREFIX + "interface"],
                precision=props["precision"],
                target=props[PREFIX + "target"],
                model=props[PREFIX + "model"],
                weights=props[PREFIX + "weights"],
                rules=_names(props[PREFIX + "rules"]),
                versions=tuple(json.loads(props[PREFIX + "versions"]).items()),
                n_fft=int(props.get(PREFIX + "n_fft", "0")),
                batch=props.get(PREFIX + "batch", "1"),
                length=props.get(PREFIX + "length", "segment"),
                other_method=props.get(PREFIX + "other_method", ""),
                model_sources=_names(props.get(PREFIX + "model_sources", "[]")),
                provenance=props.get(PREFIX + "provenance", ""),
                checkpoints=tuple(json.loads(props.get(PREFIX + "checkpoints", "{}")).items()),
                overlap=float(props[PREFIX + "overlap"]) if props.get(PREFIX + "overlap") else None,
                stored=tuple(json.loads(props.get(PREFIX + "stored", "{}")).items()),
                differing_segments=props.get(PREFIX + "differing_segments", ""),
                digest=props.get(PREFIX + "digest", ""),
                providers=_names(props.get(PREFIX + "providers", "[]")),
                fold_weights=props.get(PREFIX + "fold_weights") == "true",
                stopped_after=props.get(PREFIX + "stopped_after", ""),
                weights_license=props.get("license", ""),
                fade_step=int(props.get(PREFIX + "fade_step", "0")),
                context=int(props[PREFIX + "context"]) if props.get(PREFIX + "context") else None,
                hop=int(props.get(PREFIX + "hop", "0")),
                shortest=int(props.get(PREFIX + "shortest", "0")),
                quality=props.get(PREFIX + "quality", ""),
                promise=props.get(PREFIX + "promise", ""),
            )
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise CompilerError(
                "this model was not made by onnx-demucs-compile (its metadata lacks or garbles "
                f"{error}); compile the checkpoint with onnx-demucs-compile first"
            ) from error


def _names(text: str) -> tuple[str, ...]:
    names = json.loads(text)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"a list of names: {text}")
    return tuple(names)

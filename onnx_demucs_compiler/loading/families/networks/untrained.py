"""The published architectures without training, for tests, benchmarks and machines without weights."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.loading.families.family import UNTRAINED_PREFIX
from onnx_demucs_compiler.loading.families.networks.config import understood
from onnx_demucs_compiler.loading.families.networks.network import build, draw_for, source_of
from onnx_demucs_compiler.loading.lively import built_lively

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnx_demucs_compiler.loading.source_model import SourceModel

DEFAULT_SEED = 1

STEMS = {1: ["vocals"], 2: ["vocals", "other"], 4: ["drums", "bass", "other", "vocals"]}

_ROFORMER = {
    "dim": 384,
    "depth": 6,
    "stereo": True,
    "num_stems": 1,
    "time_transformer_depth": 1,
    "freq_transformer_depth": 1,
    "dim_head": 64,
    "heads": 8,
    "stft_n_fft": 2048,
    "stft_hop_length": 441,
    "stft_win_length": 2048,
    "mask_estimator_depth": 2,
}

ARCHITECTURES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "bs_roformer": {
        "audio": {"chunk_size": 352800, "sample_rate": 44100},
        "model": {**_ROFORMER, "mlp_expansion_factor": 4},
    },
    "mel_band_roformer": {
        "audio": {"chunk_size": 352800, "sample_rate": 44100},
        "model": {**_ROFORMER, "num_bands": 60, "mlp_expansion_factor": 4},
    },
    "mdx23c": {
        "audio": {
            "chunk_size": 261120, "dim_f": 4096, "dim_t": 256, "hop_length": 1024, "n_fft": 8192,
            "num_channels": 2, "sample_rate": 44100,
        },
        "model": {
            "act": "gelu", "bottleneck_factor": 4, "growth": 128, "norm": "InstanceNorm",
            "num_blocks_per_scale": 2, "num_channels": 128, "num_scales": 5, "num_subbands": 4,
            "scale": [2, 2],
        },
    },
    "scnet": {
        "audio": {"chunk_size": 485100, "sample_rate": 44100, "num_channels": 2},
        "model": {
            "sources": STEMS[4], "audio_channels": 2, "dims": [4, 32, 64, 128], "nfft": 4096,
            "hop_size": 1024, "win_size": 4096, "normalized": True, "band_SR": [0.175, 0.392, 0.433],
            "band_stride": [1, 4, 16], "band_kernel": [3, 4, 16], "conv_depths": [3, 2, 1], "compress": 4,
            "conv_kernel": 3, "num_dplayer": 6, "expand": 1,
        },
    },
}  # fmt: skip
"""Configurations by architecture, of the sizes that checkpoints are published in."""


def is_untrained(spec: str) -> bool:
    """True for ``untrained:NAME`` of an architecture of this family."""
    name = spec.removeprefix(UNTRAINED_PREFIX).partition("?")[0]
    return spec.startswith(UNTRAINED_PREFIX) and name in ARCHITECTURES


def load_untrained(spec: str) -> SourceModel:
    """Build what ``untrained:NAME[?KEY=N&…&seed=N]`` names, with lively weights.

    A key is one of the configuration's whole numbers, such as ``dim`` or ``chunk_size``. The weights depend
    on ``spec`` alone, and the global random state is left as it was.

    Raises:
        UsageError: a key is unknown, or its value no whole number.
        CompilerError: the architecture does not take these numbers, or pymss-core is not installed.
    """
    kind, _, query = spec.removeprefix(UNTRAINED_PREFIX).partition("?")
    values, seed = _configured(kind, query, spec)
    configuration = understood(values, spec)
    module = built_lively(lambda: build(configuration, spec), seed, draw_for)
    return source_of(module, configuration, spec, f"untrained {kind}, seed {seed}")


def _configured(kind: str, query: str, spec: str) -> tuple[dict[str, Any], int]:
    values: dict[str, Any] = {"model_type": kind} | deepcopy(dict(ARCHITECTURES[kind]))
    seed = DEFAULT_SEED
    for part in query.split("&") if query else ():
        key, _, text = part.partition("=")
        if not text.isdecimal() or len(text) > 18:
            raise UsageError(f"cannot read {part!r} in {spec!r}; write {UNTRAINED_PREFIX}{kind}?dim=N&seed=N")
        section = next((values[each] for each in ("model", "audio") if key in values[each]), None)
        if key == "seed":
            seed = int(text)
        elif section is None or not isinstance(section[key], int):
            numbers = [each for part in ("model", "audio") for each, number in values[part].items()
                       if type(number) is int]  # fmt: skip
            raise UsageError(f"{kind} has no number {key!r}; it has {', '.join(numbers)} and seed")
        else:
            section[key] = type(section[key])(int(text))
    stems = values["model"].get("num_stems", len(values["model"].get("sources", STEMS[2])))
    names = STEMS.get(stems) or [f"stem_{number}" for number in range(1, stems + 1)]
    values["training"] = {"instruments": names, "target_instrument": None}
    return values, seed

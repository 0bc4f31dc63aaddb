"""A test of the parity check: each parameter scaled by 1.01.

    python benchmarks/mutation.py [MODEL] [--seconds 1] [--json FILE]

The model is cut to a segment of --seconds, which changes no weight and makes hundreds of runs bearable.
For each parameter of the model its initializer in the compiled graph is scaled, the graph is run on
noise, and its SNR against the untouched model in float64 is compared with the gate of 100 dB.
"""

from __future__ import annotations

import argparse
import copy
import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
import torch
from onnx import ModelProto, numpy_helper

from onnx_demucs_compiler import compile as compile_model
from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.fidelity import DEFAULT_MIN_SNR_DB, probe_signals, run_eager
from onnx_demucs_compiler.graph.weights import weights_in
from onnx_demucs_compiler.loading import load_model
from onnx_demucs_compiler.runtime.session import session_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SCALE = 1.01

# What does not show at SCALE is scaled by this as well, to tell small from dead.
STRONGER = 1.1


def main() -> None:
    """Print the tensors that the check misses, and the worst it catches."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", nargs="?", default="untrained:htdemucs")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of the segment")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()

    source = load_model(arguments.model)
    source.module.segment = arguments.seconds
    source = replace(source, segment=round(arguments.seconds * (source.sample_rate or 0)))
    compiled = compile_model(source, verify=False).model
    mix = probe_signals(source.example(), source.sample_rate)["noise"]
    double = copy.deepcopy(source.module).double()
    reference = run_eager(double, tuple(value.double() for value in mix))[0]

    found = {}
    weights = {name: value.detach().numpy() for name, value in source.module.named_parameters()}

    def snr_with(name: str, scale: float) -> float:
        with _scaled(compiled, name, weights, scale):
            return _worst_snr(compiled, mix[0].numpy(), reference)

    for index, name in enumerate(weights):
        found[name] = snr_with(name, SCALE)
        print(f"\r{index + 1}/{len(weights)} {found[name]:6.1f} dB  {name:60.60}", end="", flush=True)
    gate = DEFAULT_MIN_SNR_DB["fp32"]
    unnoticed = [name for name, snr in found.items() if snr >= gate]
    stronger = {name: snr_with(name, STRONGER) for name in unnoticed}
    print(f"\n{len(found)} parameter tensors scaled by {SCALE}; gate {gate:g} dB")
    for name, snr in stronger.items():
        print(f"not noticed: {name} ({found[name]:.1f} dB; scaled by {STRONGER}: {snr:.1f} dB)")
    print(f"closest to the gate of those noticed: {max(snr for snr in found.values() if snr < gate):.1f} dB")
    if arguments.json:
        arguments.json.write_text(
            json.dumps(_results(arguments.model, gate, found, stronger), indent=2) + "\n"
        )


@contextmanager
def _scaled(model: ModelProto, name: str, weights: Mapping[str, np.ndarray], scale: float) -> Iterator[None]:
    """Scale one parameter, in all initializers that hold a part of it.

    Of joined parameters only it is scaled.
    """
    homes = [item for item in model.graph.initializer if name in weights_in(item.name, weights)]
    assert homes, f"no initializer holds {name}"
    originals = copy.deepcopy(homes)
    for home in homes:
        array = numpy_helper.to_array(home)
        its_own = np.isin(array, weights[name]) if len(weights_in(home.name, weights)) > 1 else True
        home.CopyFrom(numpy_helper.from_array(np.where(its_own, array * np.float32(scale), array), home.name))
    try:
        yield
    finally:
        for home, original in zip(homes, originals, strict=True):
            home.CopyFrom(original)


def _worst_snr(model: ModelProto, mix: np.ndarray, reference: np.ndarray) -> float:
    # Hundreds of sessions: what makes one run fast and opening it slow is left out.
    options = session_options()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_prepacking", "1")
    stems = ort.InferenceSession(model.SerializeToString(), options).run(None, {"mix": mix})[0]
    return min(snr_db(reference[:, index], stems[:, index]) for index in range(stems.shape[1]))


def _results(model: str, gate: float, found: dict[str, float], stronger: dict[str, float]) -> dict[str, Any]:
    return {
        "model": model,
        "scale": SCALE,
        "gate_db": gate,
        "torch": torch.__version__,
        "onnxruntime": ort.__version__,
        "snr_db": {name: round(snr, 1) for name, snr in found.items()},
        "snr_db_scaled_more": {name: round(snr, 1) for name, snr in stronger.items()},
    }


if __name__ == "__main__":
    main()

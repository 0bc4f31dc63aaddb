"""PyTorch's float32 SNR against float64 on lively weights, seed by seed.

python benchmarks/conditioning.py [--model htdemucs] [--length SAMPLES] [SEED ...] [--audio FILE]
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.fidelity import probe_signals, run_eager
from onnx_demucs_compiler.cli.excerpt import excerpt_signals
from onnx_demucs_compiler.loading import load_model
from onnx_demucs_compiler.loading.families.demucs.length import set_length


def main() -> None:
    """Print the SNR of the worst stem for each seed and signal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("seeds", nargs="*", type=int, default=[0, 1, 2, 3])
    parser.add_argument("--model", default="htdemucs")
    parser.add_argument("--length", type=int, default="segment", help="samples; the model's own segment")
    parser.add_argument("--audio", type=Path, nargs="*", default=[], help="measure on these as well")
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        source = set_length(load_model(f"untrained:{arguments.model}?seed={seed}"), arguments.length)
        double = copy.deepcopy(source.module).double()
        signals = probe_signals(source.example(), source.sample_rate)
        excerpts = excerpt_signals(arguments.audio, source, "segment")
        signals |= {name: (value,) for name, value in excerpts.items()}
        for name, values in signals.items():
            if name == "silence":
                continue
            single = run_eager(source.module, values)[0]
            reference = run_eager(double, tuple(value.double() for value in values))[0]
            worst = min(snr_db(reference[:, i], single[:, i]) for i in range(reference.shape[1]))
            print(f"seed {seed}  {name:20} {worst:6.1f} dB", flush=True)


if __name__ == "__main__":
    main()

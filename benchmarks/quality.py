"""Promises of ``--quality`` on music: speed, error and SDR.

    python benchmarks/quality.py MODEL [--target ort] [--qualities careful fast] [--tune FILE ...]
        [--song FILE ...] [--stems FILE] [--rounds 5] [--work FOLDER] [--json benchmarks/results/quality.json]

MODEL is a name or a checkpoint, such as `trained_weights.py` writes. Graphs are chosen on ``--tune``, of
which `compile` takes the middle, and judged on ``--song``: SNR and error to the mix of each stem, against
``exact``. With ``--stems``, a file with five sound tracks, the mix first (Native Instruments' Stems; the PyPI
package stempeg carries one), SDR against the true stems too. All graphs run in turn on a segment of noise,
each in a process of its own. With ``--work`` the graphs stay there, and are taken from there the next time.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark_machine import machine
from entrants import timed
from sound_tracks import read_song, sdr_db, sound_tracks

import onnx_demucs_compiler
from onnx_demucs_compiler.checking.decibels import energy, error_energy, finite, snr_db, to_mix_db
from onnx_demucs_compiler.cli.excerpt import excerpt_signals
from onnx_demucs_compiler.loading import load_model
from onnx_demucs_compiler.options import QUALITIES
from onnx_demucs_compiler.runtime import Separator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from onnx_demucs_compiler.loading import SourceModel

    Stems = dict[str, NDArray[np.float32]]


def main() -> None:
    """Compile, run in turn, judge on music, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--target", default="ort")
    parser.add_argument("--qualities", nargs="*", choices=QUALITIES[1:], default=QUALITIES[1:])
    parser.add_argument("--tune", type=Path, nargs="*", default=[])
    parser.add_argument("--song", type=Path, nargs="*", default=[])
    parser.add_argument("--stems", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.work or Path(name)
        source = load_model(arguments.model)
        files = {quality: folder / f"{quality}.onnx" for quality in ("exact", *arguments.qualities)}
        graphs = {
            quality: _graph(source, file, quality, arguments.target, arguments.tune)
            for quality, file in files.items()
        }
        for quality, row in timed(files, arguments.rounds)[0].items():
            graphs[quality] |= row
        songs = {song.name: _on_song(files, song) for song in arguments.song}
        true = {arguments.stems.name: _on_stems(files, arguments.stems)} if arguments.stems else {}
    results = machine() | {
        "model": source.name,
        "weights": source.provenance,
        "target": arguments.target,
        "tuned_on": [path.name for path in arguments.tune],
        "graphs": graphs,
        "songs": songs | true,
    }
    print(json.dumps(finite(results), indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(finite(results), indent=2) + "\n")


def _graph(source: SourceModel, path: Path, quality: str, target: str, tune: list[Path]) -> dict[str, Any]:
    known = path.with_suffix(".json")
    if known.exists():
        found: dict[str, Any] = json.loads(known.read_text())
        return found
    signals = excerpt_signals(tune, source, "segment")
    compiled = onnx_demucs_compiler.compile(source, target=target, quality=quality, extra_signals=signals)
    compiled.save(path)
    report = compiled.report
    figures = {
        "bytes": path.stat().st_size,
        "stored": report.stored,
        "chosen": report.chosen,
        "compile_seconds": round(sum(report.seconds.values())),
    }
    known.write_text(json.dumps(figures))
    print(quality, figures, file=sys.stderr, flush=True)
    return figures


def _on_song(files: dict[str, Path], song: Path) -> dict[str, Any]:
    separator = Separator(files["exact"])
    mix = read_song(song, separator)
    return _compared(mix, {quality: Separator(file).separate(mix) for quality, file in files.items()})


def _on_stems(files: dict[str, Path], path: Path) -> dict[str, Any]:
    mix, *true = sound_tracks(path)
    stems = {quality: Separator(file).separate(mix) for quality, file in files.items()}
    sdr = {quality: sdr_db(true, found) for quality, found in stems.items()}
    changes = {
        quality: {stem: round(figure - sdr["exact"][stem], 3) for stem, figure in found.items()}
        for quality, found in sdr.items()
    }
    return _compared(mix, stems) | {"sdr_db": sdr["exact"], "sdr_change_db": changes}


def _compared(mix: NDArray[np.float32], stems: dict[str, Stems]) -> dict[str, Any]:
    exact = stems["exact"]
    return {
        "level_db": {stem: round(to_mix_db(energy(one), energy(mix)), 1) for stem, one in exact.items()},
        "snr_db": {
            quality: {stem: round(snr_db(exact[stem], one), 1) for stem, one in found.items()}
            for quality, found in stems.items()
        },
        "error_to_mix_db": {
            quality: {
                stem: round(to_mix_db(error_energy(exact[stem], one), energy(mix)), 1)
                for stem, one in found.items()
            }
            for quality, found in stems.items()
        },
    }


if __name__ == "__main__":
    main()

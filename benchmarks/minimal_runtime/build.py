"""A build of ONNX Runtime with only what models need.

    python benchmarks/minimal_runtime/build.py MODEL.onnx [MODEL.onnx ...] [--variants NAME ...] [--json FILE]

The first model, a waveform graph, is what the builds are made for and run with; the build `every-model` has
what all of them need. Needs Debian's apt and a C++ compiler; sources and other tools are fetched
(`debian.py`), and nothing is installed. Builds take minutes each, and lie in ``--work`` with their logs: a
second call continues where the first ended. Figures are added to those that the JSON file has.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.append(str(Path(__file__).resolve().parent.parent))

import soundfile
from benchmark_machine import machine
from debian import ARCHIVES, distribution
from measuring import Task, agreement, compiled, compiler, measured, refusal, wheel_library
from ops_config import needs_contrib, without
from sources import Sources, prepared
from variants import Library, Variant, build

from onnx_demucs_compiler.checking.synthesis import synthetic_song
from onnx_demucs_compiler.checking.verification import artifact_metadata
from onnx_demucs_compiler.ort import as_ort_format, ops_config
from onnx_demucs_compiler.ort.conversion import LEVEL
from onnx_demucs_compiler.runtime.cores import usable_cores

if TYPE_CHECKING:
    from collections.abc import Sequence

SMALLEST, EVERY_MODEL, LACKING = "ops-and-types", "every-model", "lacking"
VARIANTS = (SMALLEST, LACKING, EVERY_MODEL, "ops", "extended", "minimal")
WHEEL = "wheel"
TAKEN_OUT = "ConvTranspose"


def main() -> None:
    """Build, measure and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL.onnx")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS, metavar="NAME")
    parser.add_argument("--work", type=Path, default=Path("minimal-runtime"))
    parser.add_argument("--jobs", type=int, default=usable_cores())
    parser.add_argument("--rounds", type=int, default=5, help="0: times and refusal stay as they are")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    sources = prepared(work)
    models = [converted(model, work / "models") for model in arguments.models]
    results = (
        _written(arguments.json)
        | machine()
        | {
            "system": distribution(),
            "compiler": compiler(),
            "source": next(iter(ARCHIVES)).partition(".orig")[0].replace("_", " "),
            "optimisation_level": LEVEL,
            "model": arguments.models[0].name,
            "models": [model.name for model in arguments.models],
            "wheel_bytes": wheel_library().stat().st_size,
        }
    )
    libraries = {}
    for variant in variants_for(models, work):
        if variant.name in arguments.variants:
            libraries[variant.name] = build(variant, sources, work, arguments.jobs)
            found = {"options": _without_paths(variant), **_of(libraries[variant.name])}
            results.setdefault("builds", {})[variant.name] = found
            print(json.dumps({variant.name: found}), flush=True)
            _write(results, arguments.json)
    task = _task(models[0], arguments.models[0], sources, work)
    found = run(task, libraries, arguments.rounds, work) if arguments.rounds else {}
    if EVERY_MODEL in libraries:
        library = libraries[EVERY_MODEL].path
        found["snr_db_to_wheel"] = {
            model.name: agreement(replace(task, model=model), library, work) for model in models
        }
    print(json.dumps(found), flush=True)
    results |= found
    _write(results, arguments.json)


def converted(model: Path, folder: Path) -> Path:
    """``model`` in ORT format, as ``--ort-format`` writes it; cached in ``folder``."""
    folder.mkdir(exist_ok=True)
    found = folder / f"{model.stem}.ort"
    if not found.exists() or found.stat().st_mtime < model.stat().st_mtime:
        found.write_bytes(as_ort_format(model))
    return found


def operators_of(models: Sequence[Path], config: Path) -> Path:
    """Write the config that ``--ops-config`` writes for all of ``models``."""
    config.write_bytes(ops_config([_mapped(model) for model in models]))
    return config


def _mapped(model: Path) -> memoryview:
    """The content of a file, mapped: not all models fit into memory."""
    with model.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def variants_for(models: Sequence[Path], work: Path) -> tuple[Variant, ...]:
    """The builds in order, with their configs."""
    own = operators_of(models[:1], work / "model.config")
    every = operators_of(models, work / "every-model.config")
    lacking = work / "lacking.config"
    lacking.write_text(without(own.read_text(), TAKEN_OUT))
    contrib = needs_contrib(own.read_text())
    return (
        Variant(SMALLEST, own, types=True, contrib=contrib),
        Variant(LACKING, lacking, types=True, contrib=contrib, folder=SMALLEST),
        Variant(EVERY_MODEL, every, types=True, contrib=needs_contrib(every.read_text())),
        Variant("ops", own, contrib=contrib, folder=SMALLEST),
        Variant("extended", own, types=True, contrib=contrib, extended=True),
        Variant("minimal", contrib=contrib),
    )


def run(task: Task, libraries: dict[str, Library], rounds: int, work: Path) -> dict[str, Any]:
    """Run the model in every library; let the lacking one refuse it.

    The wheel's goes first.
    """
    able = {name: library.path for name, library in libraries.items() if name != LACKING}
    results: dict[str, Any] = {}
    if able:
        results["runs"] = measured(task, {WHEEL: wheel_library(), **able}, WHEEL, rounds, work)
    if LACKING in libraries:
        refused = refusal(task, libraries[LACKING].path, work / "refused.f32")
        results["refusal"] = {"taken_out": TAKEN_OUT, **refused}
    return results | {"load_average": round(os.getloadavg()[0], 1)}


def _task(model: Path, artifact: Path, sources: Sources, work: Path) -> Task:
    """One segment of the synthetic song, as a WAV file."""
    metadata = artifact_metadata(artifact)
    mix = work / "mix.wav"
    song = synthetic_song(metadata.segment, metadata.sample_rate, metadata.audio_channels)
    soundfile.write(mix, song.T, metadata.sample_rate, subtype="FLOAT")
    include = sources.onnxruntime / "include/onnxruntime/core/session"
    return Task(compiled(include, work / "separate"), model, mix, usable_cores())


def _of(library: Library) -> dict[str, Any]:
    return {"bytes": library.bytes, "kernels": library.kernels}


def _without_paths(variant: Variant) -> str:
    return " ".join(Path(word).name for word in variant.options)


def _written(file: Path | None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text()) if file and file.exists() else {}
    return found


def _write(results: dict[str, Any], file: Path | None) -> None:
    if file:
        file.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()

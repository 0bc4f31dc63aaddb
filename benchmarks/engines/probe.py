"""An engine asked about every form of an operator, for onnx_demucs_compiler/contracts/engines/ENGINE.json.

    python benchmarks/engines/install.py tract==0.23.9
    python benchmarks/engines/probe.py tract [FORM ...]

Each probe (probes.json) runs in the engine in a process of its own, and in ONNX Runtime. The table gets the
verdicts of the installed version: ``right``, ``wrong`` with its SNR, ``refused``, or ``ended`` where the
process did not survive or gave no answer in time. With FORM only those are asked again.

A tool that rewrites files (onnxoptimizer, onnxsim) is asked likewise: what it makes of a probe runs
in ONNX Runtime. Its environment is made if it is missing.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from install import environment
from packaging.version import Version
from probes import feeds_of, model_of, probes
from rewriters import REQUIREMENTS, rewritten, version

from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.fidelity import open_session
from onnx_demucs_compiler.contracts.engine import ENDED, FOLDER, REFUSED, RIGHT, TOOLS, UNPROBED, WRONG
from onnx_demucs_compiler.engines import ENGINES, ENVIRONMENTS
from onnx_demucs_compiler.engines.process import EngineError, EngineProcess

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onnx_demucs_compiler.engines.engine import Engine

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0
TOOL_SNR_DB = 90.0


def main() -> None:
    """Ask, and write the engine's table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("engine", choices=(*ENGINES, *TOOLS))
    parser.add_argument("forms", nargs="*", metavar="FORM")
    arguments = parser.parse_args()
    os.environ.setdefault(ENVIRONMENTS, str(ROOT / "build" / "engines"))
    os.environ["MALLOC_PERTURB_"] = "165"  # memory that nobody wrote to is never zero by luck
    name, known = arguments.engine, probes()
    ask = partial(asked, ENGINES[name]) if name in ENGINES else partial(asked_tool, name, tool_python(name))
    verdicts: dict[str, str] = {}
    for form in arguments.forms or known:
        release, verdicts[form] = ask(model_of(known[form]))
        print(f"{verdicts[form]:20} {form}", flush=True)
    path = ROOT / "onnx_demucs_compiler" / "contracts" / FOLDER / f"{name}.json"
    table = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    before = {
        form: verdict
        for form, verdict in table.get(release, {}).items()
        if arguments.forms or form in UNPROBED
    }
    table[release] = dict(sorted((before | verdicts).items()))
    table = {each: table[each] for each in sorted(table, key=Version)}
    path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def asked(engine: Engine, model: onnx.ModelProto) -> tuple[str, str]:
    """The engine's version, and its verdict on a probe."""
    feeds = feeds_of(model)
    wanted = open_session(model).run(None, feeds)
    shapes = {name: value.shape for name, value in feeds.items()}
    outputs = [value.name for value in model.graph.output]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe.onnx"
        onnx.save(model, path)
        try:
            with EngineProcess(engine, path, shapes, outputs, timeout=PATIENCE) as process:
                found, _ = process.run(feeds)
        except EngineError as error:
            return error.version, ENDED if error.ended else REFUSED
    return process.version, _verdict(min(map(_agreement, wanted, found)), engine.min_snr_db)


def tool_python(name: str) -> Path:
    """The Python of a tool's environment."""
    return environment(ROOT / "build" / "tools" / name, REQUIREMENTS[name])


def asked_tool(name: str, python: Path, model: onnx.ModelProto) -> tuple[str, str]:
    """The tool's version, and the verdict on what it writes."""
    release, feeds = version(python, name), feeds_of(model)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source, target, nothing = folder / "probe.onnx", folder / "out.onnx", folder / "feeds.npz"
        onnx.save(model, source)
        np.savez(nothing)
        if rewritten(python, name, source, target, nothing):
            return release, REFUSED
        wanted = open_session(model).run(None, feeds)
        try:
            found = open_session(onnx.load(target)).run(None, feeds)
        except Exception:  # noqa: BLE001 - ONNX Runtime's errors share no narrower base
            return release, WRONG
    if any(one.shape != other.shape for one, other in zip(wanted, found, strict=True)):
        return release, WRONG
    return release, _verdict(min(map(_agreement, wanted, found)), TOOL_SNR_DB)


def _verdict(agreement: float, least: float) -> str:
    if agreement >= least:
        return RIGHT
    return f"{WRONG} ({agreement:.1f} dB)" if math.isfinite(agreement) else WRONG


def _agreement(wanted: NDArray[Any], found: NDArray[Any]) -> float:
    # MNN gives what Conv has of three axes a fourth of one, which goes where another operator follows.
    agreement = snr_db(wanted, found.reshape(wanted.shape)) if wanted.size == found.size else math.nan
    return -math.inf if math.isnan(agreement) else agreement


if __name__ == "__main__":
    main()

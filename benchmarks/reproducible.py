"""Two separate environments' bytes for one checkpoint, compared.

Both are installed from constraints.txt.

python benchmarks/reproducible.py [--model FILE.th] [--json benchmarks/results/reproducible.json]

Two virtual environments are made at paths of different length, each with a wheel of this tree and every
dependency from constraints.txt; neither sees packages of the other or of the system. In each a process of its
own compiles the checkpoint (a small HTDemucs unless given), verifies it, and writes report, bill of materials
and checksum, under other threads, hash seeds, locales, time zones, umasks and working folders. --keep FOLDER
leaves the environments there, and uses those that are there; otherwise they go to a temporary folder.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from benchmark_machine import machine

from onnx_demucs_compiler.loading import make_lively
from onnx_demucs_rules.examples import small_htdemucs

ROOT = Path(__file__).resolve().parent.parent

SETTINGS: dict[str, dict[str, str]] = {
    "here": {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "1", "LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0",
             "PYTHONCOERCECLOCALE": "0", "TZ": "Asia/Kathmandu", "umask": "077"},
    "there/and/further": {"OMP_NUM_THREADS": "3", "PYTHONHASHSEED": "2", "LC_ALL": "C.UTF-8", "TZ": "UTC",
                          "umask": "000"},
}  # fmt: skip

WRITTEN = {
    "model": "x.onnx",
    "report": "report.json",
    "bill of materials": "bill.json",
    "checksum": "x.onnx.sha256",
}


def main() -> None:
    """Make the environments, compile in both, compare what they wrote."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        checkpoint = (arguments.model or _small_checkpoint(Path(temporary))).resolve()
        interpreters = {name: _environment(folder / name / "venv") for name in SETTINGS}
        written = {
            name: _compile(interpreter, checkpoint, Path(temporary) / name / "work", SETTINGS[name])
            for name, interpreter in interpreters.items()
        }
        packages = [_packages(interpreter) for interpreter in interpreters.values()]
    one, other = written.values()
    results = machine() | {
        "environments": SETTINGS,
        "packages": len(packages[0]),
        "same_packages": packages[0] == packages[1],
        "checkpoint": arguments.model.name if arguments.model else "a small HTDemucs",
        "files": {
            what: {
                "same": one[what] == other[what],
                "bytes": len(one[what]),
                "sha256": hashlib.sha256(one[what]).hexdigest(),
            }
            for what in one
        },
    }
    print(json.dumps(results, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    if not all(file["same"] for file in results["files"].values()):
        sys.exit("the environments wrote different bytes")


def _small_checkpoint(folder: Path) -> Path:
    """A checkpoint of a small HTDemucs, written once for both."""
    module: Any = small_htdemucs(dconv_comp=2)
    make_lively(module, 0)
    args, kwargs = module._init_args_kwargs
    package = {"klass": type(module), "args": args, "kwargs": kwargs, "state": module.state_dict()}
    torch.save(package, folder / "small.th")
    return folder / "small.th"


def _environment(folder: Path) -> Path:
    """The Python of an environment; made unless it is there."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        install = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--constraint",
            ROOT / "constraints.txt",
            ROOT / "runtime",
            f"{ROOT}[sbom]",
        ]
        subprocess.run([python, *install], check=True)
    return python


def _compile(python: Path, checkpoint: Path, folder: Path, settings: dict[str, str]) -> dict[str, bytes]:
    """The files of one environment by kind, without times in the report."""
    folder.mkdir(parents=True)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)} | settings
    subprocess.run(
        [python.with_name("onnx-demucs"), "compile", checkpoint, "-o", "x.onnx", "--quiet",
         "--report", "report.json", "--sbom", "bill.json", "--sha256"],
        cwd=folder, env=environment, umask=int(settings["umask"], 8), check=True,
    )  # fmt: skip
    found = {what: (folder / name).read_bytes() for what, name in WRITTEN.items()}
    report = json.loads(found.pop("report"))
    measured = {key: report.pop(key) for key in ("fidelity",)}
    del report["memory"]
    for timed in (report, *report["costs"]):
        del timed["seconds"]
    return found | {
        "report, less times, memory and SNR": json.dumps(report).encode(),
        "SNR measured": json.dumps(measured).encode(),
    }


def _packages(python: Path) -> list[str]:
    listed = subprocess.run([python, "-m", "pip", "freeze"], check=True, capture_output=True, text=True)
    return [line.partition(" @ ")[0] for line in listed.stdout.splitlines()]


if __name__ == "__main__":
    main()

"""The same inputs and versions give the same bytes."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from engine_examples import shallow_htdemucs

from onnx_demucs_compiler import CompiledModel, compile
from onnx_demucs_compiler.artifact.compiled import serialized
from onnx_demucs_compiler.artifact.sbom import bill_of_materials

ROOT = Path(__file__).parents[2]

COMPILE = """
import os, sys, torch
umask, threads = int(sys.argv[1], 8), int(sys.argv[2])
os.umask(umask)
torch.set_num_threads(threads)
from test_determinism import account, shallow
print(account(shallow()))
"""

HERE = {"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1", "LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0", "TZ": "Asia/Kathmandu"}  # fmt: skip
THERE = {
    "PYTHONHASHSEED": "2",
    "OMP_NUM_THREADS": "3",
    "LC_ALL": "C.UTF-8",
    "LANG": "tr_TR.UTF-8",
    "TZ": "UTC",
}


def shallow() -> CompiledModel:
    return compile(shallow_htdemucs(), verify=False)


def account(compiled: CompiledModel) -> str:
    """Digests of what a compile writes: model, report but for times and memory, bill of materials."""
    data, report = serialized(compiled.model), json.loads(compiled.report.to_json())
    for timed in (report, *report["costs"]):
        del timed["seconds"]
    del report["memory"]
    written = (
        data,
        json.dumps(report).encode(),
        bill_of_materials("x.onnx", data, compiled.metadata).encode(),
    )
    return " ".join(hashlib.sha256(content).hexdigest() for content in written)


@pytest.fixture(scope="module")
def expected() -> str:
    return account(shallow())


def test_twice_in_one_process(expected: str) -> None:
    assert account(shallow()) == expected


def test_in_other_processes(expected: str, tmp_path: Path) -> None:
    """Elsewhere, with another umask, other threads, seeds of hashes, locales and time zones."""
    paths = os.pathsep.join([str(Path(__file__).parent), str(ROOT), str(ROOT / "rules")])
    running = []
    for umask, threads, settings in (("077", "1", HERE), ("000", "3", THERE)):
        folder = tmp_path / umask
        folder.mkdir()
        process = subprocess.Popen(
            [sys.executable, "-c", COMPILE, umask, threads],
            cwd=folder,
            env={**os.environ, **settings, "PYTHONPATH": paths, "HOME": str(folder)},
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(process)
    assert [process.communicate()[0].strip() for process in running] == [expected] * 2


def test_a_saved_file_holds_those_bytes(compiled: CompiledModel, tmp_path: Path) -> None:
    path = compiled.save(tmp_path / "model.onnx")
    assert path.read_bytes() == serialized(compiled.model)
    assert onnx.load(path) == compiled.model

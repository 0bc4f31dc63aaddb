"""The same inputs and versions give the same bytes."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from engine_examples import shallow_htdemucs

from onnx_demucs_compiler import CompiledModel, compile
from onnx_demucs_compiler.artifact import serialized

ROOT = Path(__file__).parents[2]

COMPILE = """
import hashlib, sys
from engine_examples import shallow_htdemucs
from onnx_demucs_compiler import compile
from onnx_demucs_compiler.artifact import serialized
print(hashlib.sha256(serialized(compile(shallow_htdemucs(), verify=False).model)).hexdigest())
"""


def digest(compiled: CompiledModel) -> str:
    return hashlib.sha256(serialized(compiled.model)).hexdigest()


@pytest.fixture(scope="module")
def shallow() -> CompiledModel:
    return compile(shallow_htdemucs(), verify=False)


def test_twice_in_one_process(shallow: CompiledModel) -> None:
    assert digest(compile(shallow_htdemucs(), verify=False)) == digest(shallow)


def test_in_other_processes(shallow: CompiledModel, tmp_path: Path) -> None:
    folders = [tmp_path / "here", tmp_path / "there"]
    running = []
    for number, folder in enumerate(folders):
        folder.mkdir()
        paths = [str(Path(__file__).parent), str(ROOT), str(ROOT / "rules")]
        environment = {
            **os.environ,
            "PYTHONHASHSEED": str(number + 1),
            "PYTHONPATH": os.pathsep.join(paths),
            "OMP_NUM_THREADS": str(number + 1),
            "HOME": str(folder),
        }
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", COMPILE],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    digests = [process.communicate()[0].strip() for process in running]
    assert digests == [digest(shallow)] * 2


def test_a_saved_file_holds_those_bytes(compiled: CompiledModel, tmp_path: Path) -> None:
    path = compiled.save(tmp_path / "model.onnx")
    assert path.read_bytes() == serialized(compiled.model)
    assert onnx.load(path) == compiled.model

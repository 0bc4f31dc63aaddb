"""The same inputs and versions give the same bytes."""

import copy
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import kept_builds
import numpy as np
import onnx
import pytest
import torch
from engine_examples import shallow_htdemucs
from torch import nn

from onnx_demucs_compiler import CompiledModel, compile
from onnx_demucs_compiler.artifact.compiled import serialized
from onnx_demucs_compiler.artifact.sbom import bill_of_materials
from onnx_demucs_compiler.loading import from_module
from onnx_demucs_compiler.options import Options
from onnx_demucs_compiler.rules.ruleset import RuleSet
from onnx_demucs_compiler.testing import Builds

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
    kept_builds.forget_builds()
    return account(shallow())


def test_twice_in_one_process(expected: str) -> None:
    kept_builds.forget_builds()
    assert account(shallow()) == expected


def test_what_tests_keep_is_what_they_would_build(expected: str) -> None:
    shallow()
    before = kept_builds.PROGRAMS.hits, kept_builds.GRAPHS.hits
    assert account(shallow()) == expected
    assert (kept_builds.PROGRAMS.hits, kept_builds.GRAPHS.hits) == (before[0] + 1, before[1] + 1)


def test_a_kept_program_whose_weights_a_test_changes_is_built_anew() -> None:
    module = nn.Linear(3, 2).requires_grad_(False)
    twin = copy.deepcopy(module)
    [first] = outputs_of(module)
    module.weight += 1
    [again] = outputs_of(twin)
    np.testing.assert_array_equal(again, first)


def outputs_of(module: nn.Module) -> list[np.ndarray]:
    """Of a graph that shares its weights with the module, which ``compile`` copies."""
    ones = (torch.ones(1, 3),)
    source = from_module(module, example_input=ones)
    return Builds(source, ones, Options()).attempt(RuleSet([])).run([value.numpy() for value in ones])


def test_in_other_processes(expected: str, tmp_path: Path) -> None:
    """Elsewhere, with another umask, other threads, seeds of hashes, locales and time zones."""
    here = Path(__file__).parent
    paths = os.pathsep.join(map(str, (here, here.parent, ROOT, ROOT / "rules")))
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

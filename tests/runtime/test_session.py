"""The options a session gets, and the threads it runs on."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from onnx_demucs_compiler.runtime import session

DOUBLING = """
from functools import partial

import numpy as np
import onnx.parser
import onnxruntime

from onnx_demucs_compiler.runtime.session import OwnThread, session_options

graph = '<ir_version: 8, opset_import: ["": 18]> doubled (float[1] x) => (float[1] y) { y = Add(x, x) }'
model = onnx.parser.parse_model(graph).SerializeToString()
denormal = np.array([1e-39], np.float32)
opened = partial(onnxruntime.InferenceSession, model, session_options(1, flush=True))
for own in OwnThread(opened), OwnThread(opened):
    print(float(own.run({"x": denormal})[0][0]), float((denormal + denormal)[0]) > 0)
"""

FORKING = """
import os

child = os.fork()
found = OwnThread(opened).run({"x": denormal + 1})[0][0]
if not child:
    os._exit(int(found != 2))
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_denormals_are_zero_in_sessions_and_stay_for_the_caller() -> None:
    """In a process without a session before."""
    done = subprocess.run([sys.executable, "-c", DOUBLING], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == "0.0 True"
    if sys.platform == "linux" and platform.machine() == "x86_64":
        assert second == "0.0 True"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no process forks here")
def test_a_process_that_was_forked_opens_sessions() -> None:
    done = subprocess.run([sys.executable, "-c", DOUBLING + FORKING], timeout=60, check=False)
    assert done.returncode == 0


def test_defaults(artifact: Path) -> None:
    options = session.create_session(artifact, threads=3).get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert not options.enable_mem_pattern

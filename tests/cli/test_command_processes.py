"""What only a process of its own can show: entry points, signals, a disk that is really full."""

import os
import signal
import time
from pathlib import Path

import pytest
from cli_examples import start

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and resource limits")

# Waits where a step begins, so that the signal arrives in the middle of it.
PAUSED = """
import sys, time
from pathlib import Path
from onnx_demucs_compiler import report
step = report.Recorder.step
def paused(self, name):
    if name == sys.argv[1]:
        Path(sys.argv[2]).touch()
        while not Path(sys.argv[2] + ".go").exists():
            time.sleep(0.01)
    return step(self, name)
report.Recorder.step = paused
from onnx_demucs_compiler.__main__ import main
main(sys.argv[3:])
"""


@posix
@pytest.mark.parametrize(
    ("step", "number", "exit_code", "message"),
    [
        ("translate", signal.SIGINT, 130, "interrupted"),
        ("verify", signal.SIGTERM, 143, "terminated"),
    ],
)
def test_a_signal_in_the_middle_leaves_nothing(
    step: str, number: int, exit_code: int, message: str, checkpoint: Path, tmp_path: Path
) -> None:
    out, reached = tmp_path / "out", tmp_path / "reached"
    out.mkdir()
    with start(step, reached, "compile", checkpoint, "-o", out / "x.onnx", code=PAUSED) as process:
        deadline = time.monotonic() + 120
        while not reached.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(number)
        printed, errors = process.communicate(timeout=60)
    assert process.returncode == exit_code, errors
    assert errors == f"error: {message}; no partial file was left\n"
    assert printed == ""
    assert list(out.iterdir()) == []


@posix
def test_an_interrupt_of_the_trace_itself(checkpoint: Path, tmp_path: Path) -> None:
    """Raised from inside the model, where torch.export is on the stack."""
    code = """
import os, signal
from demucs.demucs import Demucs
forward, calls = Demucs.forward, []
def interrupted(self, mix):
    calls.append(mix)
    if len(calls) == 1:
        os.kill(os.getpid(), signal.SIGINT)
    return forward(self, mix)
Demucs.forward = interrupted
from onnx_demucs_compiler.__main__ import main
main()
"""
    process = start("compile", checkpoint, "-o", tmp_path / "x.onnx", code=code)
    printed, errors = process.communicate(timeout=120)
    assert (process.returncode, printed) == (130, "")
    assert errors == "error: interrupted; no partial file was left\n"
    assert list(tmp_path.iterdir()) == []


@posix
def test_a_disk_that_fills_up(checkpoint: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for it."""
    code = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
from onnx_demucs_compiler.__main__ import compile_main
compile_main()
"""
    process = start(checkpoint, "-o", tmp_path / "x.onnx", "--quiet", code=code)
    printed, errors = process.communicate(timeout=120)
    assert (process.returncode, printed) == (1, "")
    assert errors == f"error: {tmp_path / 'x.onnx'}: cannot be written (File too large)\n"
    assert list(tmp_path.iterdir()) == []


def test_the_compile_command_is_compile(artifact: Path, checkpoint: Path, tmp_path: Path) -> None:
    code = "from onnx_demucs_compiler.__main__ import compile_main; compile_main()"
    process = start(checkpoint, "-o", "x.onnx", code=code, cwd=tmp_path)
    printed, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    assert "x.onnx: " in printed
    assert (tmp_path / "x.onnx").read_bytes() == artifact.read_bytes()


def test_python_dash_m(tmp_path: Path) -> None:
    code = "import runpy; runpy.run_module('onnx_demucs_compiler', run_name='__main__')"
    process = start("--version", code=code, cwd=tmp_path)
    printed, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert printed.startswith("onnx-demucs ")


def test_an_error_is_one_line(tmp_path: Path) -> None:
    process = start("compile", "absent.th", cwd=tmp_path)
    printed, errors = process.communicate(timeout=60)
    assert (process.returncode, printed) == (1, "")
    assert errors == "error: there is no checkpoint absent.th; check the path\n"


@posix
@pytest.mark.parametrize("arguments", [["--help"], ["rules"], ["rules", "stft-as-matmul"]])
def test_a_terminal_without_unicode(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    process = start(*arguments, cwd=tmp_path)
    _, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (0, "")


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    code = """
import os, sys
reader, writer = os.pipe()
os.close(reader)
os.dup2(writer, 1)
from onnx_demucs_compiler.__main__ import main
main()
"""
    process = start("rules", "--json", code=code, cwd=tmp_path)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (1, "")

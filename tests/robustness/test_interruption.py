"""Signals at moments that are hard to unwind from. ``benchmarks/interruptions.py`` draws random ones."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

ROOT = Path(__file__).parents[2]

# Sends a signal from within the import of a module, where an exception would end in a traceback.
WHILE_IMPORTING = """
import os, sys
name, number = sys.argv.pop(1), int(sys.argv.pop(1))
class Finder:
    def find_spec(self, wanted, *_):
        if wanted == name:
            os.kill(os.getpid(), number)
sys.meta_path.insert(0, Finder())
from onnx_demucs_compiler.__main__ import main
main()
"""

IN_A_FINALISER = """
import os, signal, sys, time
from onnx_demucs_compiler.interruption import Interruptible
class Thing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0)
with Interruptible():
    Thing()
    time.sleep(30)
"""

WHILE_CLEANING = """
import os, signal
from onnx_demucs_compiler.interruption import Interruptible
with Interruptible():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        os.kill(os.getpid(), signal.SIGINT)
        print("cleaned")
"""

AT_SHUTDOWN = """
import atexit, os, signal
atexit.register(lambda: (os.kill(os.getpid(), signal.SIGINT), print("shut down")))
from onnx_demucs_compiler.__main__ import main
main()
"""


def finish(code: str, *arguments: object, cwd: Path = ROOT) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    process = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "rules")))},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return process.returncode, process.stdout, process.stderr


@pytest.mark.parametrize("module", ["typer.core", "numpy._core.multiarray"])
@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (signal.SIGINT, (130, "error: interrupted; no partial file was left\n")),
        (signal.SIGTERM, (143, "error: terminated; no partial file was left\n")),
    ],
)
def test_during_imports(module: str, number: int, expected: tuple[int, str]) -> None:
    """The one during which it comes is finished; a command that needs little more may be, too."""
    code, printed, errors = finish(WHILE_IMPORTING, module, int(number), "rules", "stft-as-matmul")
    done = (code, errors) == (0, "") and "stft-as-matmul" in printed
    assert done or (code, errors) == expected


def test_in_a_finaliser_that_swallows_it() -> None:
    assert finish(IN_A_FINALISER) == (130, "", "error: interrupted; no partial file was left\n")


def test_another_signal_does_not_disturb_the_cleaning() -> None:
    assert finish(WHILE_CLEANING) == (143, "cleaned\n", "error: terminated; no partial file was left\n")


def test_at_shutdown_the_work_is_done() -> None:
    code, printed, errors = finish(AT_SHUTDOWN, "--version")
    assert (code, errors) == (0, "")
    assert printed.endswith("shut down\n")


def test_an_ignored_interrupt_stays_ignored() -> None:
    code = """
import os, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
from onnx_demucs_compiler.interruption import Interruptible
with Interruptible():
    os.kill(os.getpid(), signal.SIGINT)
    print("on it goes")
"""
    assert finish(code) == (0, "on it goes\n", "")

import os
import signal
from collections.abc import Callable

import golden_files
import pytest

from onnx_demucs_compiler import CompiledModel


def pytest_configure(config: pytest.Config) -> None:
    """Give workers one thread each, and take Ctrl-C again where a shell in the background took it away.

    Threads of two workers on the same cores wait for each other, and spin while they do. What ignores a
    signal has children that do, and the tests of interruption would wait for ever.
    """
    if config.getoption("numprocesses", default=None):
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write tests/golden/*.json anew instead of comparing"
    )


@pytest.fixture
def check_golden(request: pytest.FixtureRequest) -> Callable[[str, CompiledModel], None]:
    """Compare what came of a compile with ``tests/golden/NAME.json``, or write that file anew."""

    def check(name: str, compiled: CompiledModel) -> None:
        path, found = golden_files.FOLDER / f"{name}.json", golden_files.figures_of(compiled)
        if request.config.getoption("update_golden"):
            golden_files.write(path, found)
        elif changes := golden_files.differences(golden_files.read(path), found):
            advice = f"If this is meant: pytest {request.node.nodeid} --update-golden"
            pytest.fail("\n  ".join([f"{path.name} says otherwise:", *changes, advice]), pytrace=False)

    return check

import signal
from collections.abc import Callable

import golden_files
import pytest

from onnx_demucs_compiler import CompiledModel


def pytest_configure() -> None:
    """Take Ctrl-C again where a shell started pytest in the background, which ignores it.

    What ignores a signal has children that do, and the tests of interruption would wait for ever.
    """
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

import importlib.util
import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from onnx_demucs_compiler import CompiledModel


def pytest_configure(config: pytest.Config) -> None:
    """Give each worker its cores and keep tables; take Ctrl-C again where a background shell took it away.

    Threads of two workers on the same cores wait for each other, and spin while they do. What ignores a
    signal has children that do, and the tests of interruption would wait for ever.
    """
    shared = bool(config.getoption("numprocesses", default=None))
    if shared:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    if worker := getattr(config, "workerinput", None):
        take_cores(int(worker["workerid"].removeprefix("gw")), worker["workercount"])
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if (worker or not shared) and importlib.util.find_spec("torch"):
        from export_tables import keep_export_tables
        from kept_builds import keep_builds

        keep_export_tables()
        keep_builds()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Draw the same random numbers in every test, whatever ran before.

    Models that tests build alike have the same weights then, and the same graphs (``kept_builds.py``).
    """
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


def take_cores(index: int, count: int) -> None:
    """Stay on one worker's share of the cores, where the system can tell and there are as many."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[index::count] or cores)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes minutes.

    Workers get neighbours, so that one compiles each real architecture for all its tests, and what they take
    from each other at the end is short.
    """
    items.sort(key=lambda item: item.get_closest_marker("full_size") is None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write tests/golden/*.json anew instead of comparing"
    )


@pytest.fixture
def check_golden(request: pytest.FixtureRequest) -> Callable[[str, "CompiledModel"], None]:
    """Compare what came of a compile with ``tests/golden/NAME.json``, or write that file anew."""
    import golden_files

    def check(name: str, compiled: "CompiledModel") -> None:
        path, found = golden_files.FOLDER / f"{name}.json", golden_files.figures_of(compiled)
        if request.config.getoption("update_golden"):
            golden_files.write(path, found)
        elif changes := golden_files.differences(golden_files.read(path), found):
            advice = f"If this is meant: pytest {request.node.nodeid} --update-golden"
            pytest.fail("\n  ".join([f"{path.name} says otherwise:", *changes, advice]), pytrace=False)

    return check

"""The search for cycles of garbage is put off during a build, and is as it was afterwards."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from onnx_demucs_compiler.tracing.garbage import garbage_kept


class Cycle:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def enabled() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


def test_cycles_are_kept_until_the_end() -> None:
    with garbage_kept():
        assert not gc.isenabled()
        cycle = weakref.ref(Cycle())
        assert cycle() is not None
    assert gc.isenabled()
    assert cycle() is None


def test_only_what_is_made_meanwhile_is_searched() -> None:
    old = Cycle()
    gc.collect()
    kept = weakref.ref(old)
    del old
    with garbage_kept():
        pass
    assert kept() is not None


def test_a_failure_puts_it_back() -> None:
    with pytest.raises(ZeroDivisionError), garbage_kept():
        1 / 0  # noqa: B018
    assert gc.isenabled()


def test_who_has_none_keeps_none() -> None:
    gc.disable()
    with garbage_kept():
        pass
    assert not gc.isenabled()

"""Memory over the steps of a compile."""

from pathlib import Path

import numpy as np
import pytest

from onnx_demucs_compiler.observe import memory
from onnx_demucs_compiler.observe.memory import MemoryWatch
from onnx_demucs_compiler.report import Recorder

linux = pytest.mark.skipif(not memory.STATM.exists(), reason="the system does not tell")


@linux
def test_a_step_that_takes_memory_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "INTERVAL_SECONDS", 0.001)
    recorder = Recorder()
    with recorder.step("small"):
        pass
    with recorder.step("large"):
        held = np.ones(25_000_000)
    peaks = {sample.step: sample.bytes for sample in recorder.memory.samples()}
    assert peaks["large"] - peaks["small"] > 0.9 * held.nbytes


@linux
def test_moments_are_in_order_and_in_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "INTERVAL_SECONDS", 0.001)
    watch = MemoryWatch()
    for step in ("load", "trace", "load"):
        with watch.during(step):
            pass
    moments = [sample.seconds for sample in watch.samples()]
    assert moments == sorted(moments)
    steps = [sample.step for sample in watch.samples()]
    assert [step for step, before in zip(steps, [None, *steps], strict=False) if step != before] == [
        "load", "trace", "load",
    ]  # fmt: skip


@linux
def test_the_watch_ends_with_a_step_that_fails() -> None:
    watch = MemoryWatch()
    with pytest.raises(ValueError, match="no trace"), watch.during("trace"):
        raise ValueError("no trace")
    taken = len(watch.samples())
    assert taken >= 2
    with watch.during("other"):
        pass
    assert {sample.step for sample in watch.samples()[:taken]} == {"trace"}


def test_many_samples_keep_the_peaks(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = iter([*range(1000), 5000, *range(1000)])
    monkeypatch.setattr(memory, "_resident_bytes", lambda: next(sizes))
    watch = MemoryWatch()
    for step, count in (("a", 1500), ("b", 501)):
        for _ in range(count):
            watch._sample(step)
    few = watch.samples(most=20)
    assert len(few) <= 21
    assert max(sample.bytes for sample in few) == 5000
    assert few[-1].bytes == 999
    assert len(watch.samples(most=5000)) == 2001


def test_nothing_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "STATM", tmp_path / "statm")
    watch = MemoryWatch()
    with watch.during("trace"):
        pass
    assert watch.samples() == ()

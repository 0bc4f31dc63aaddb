"""The threads a session gets."""

from pathlib import Path

import pytest

from onnx_demucs_compiler.runtime import session


@pytest.mark.parametrize(
    ("siblings", "allowed", "cores"),
    [
        ({0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}, {0, 1, 2, 3}, 2),
        ({0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3"}, {1, 2}, 2),
        ({0: "0-1", 1: "0-1"}, {0, 1}, 1),
        ({}, {0, 5}, 2),
    ],
)
def test_hyperthreads_count_once(
    siblings: dict[int, str], allowed: set[int], cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cpu, listed in siblings.items():
        topology = tmp_path / f"cpu{cpu}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{listed}\n")
    monkeypatch.setattr(session, "CPU_TOPOLOGY", tmp_path)
    monkeypatch.setattr(session.sys, "platform", "linux")
    monkeypatch.setattr(session.os, "sched_getaffinity", lambda _: allowed, raising=False)
    assert session.physical_cores() == cores


def test_defaults(artifact: Path) -> None:
    options = session.create_session(artifact, threads=3).get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert not options.enable_mem_pattern
    assert (
        session.create_session(artifact).get_session_options().intra_op_num_threads
        == session.physical_cores()
    )

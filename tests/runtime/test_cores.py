"""The threads a session gets, on machines whose files are made up."""

from collections.abc import Callable
from pathlib import Path

import pytest

from onnx_demucs_compiler.runtime import cores, session

Machine = Callable[..., int]
CGROUP1 = "31 1 0:27 {root} /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct"
CGROUP2 = "30 1 0:26 {root} /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Count the cores of a machine with these files, on which these CPUs are allowed."""
    monkeypatch.setattr(cores, "ROOT", tmp_path)
    monkeypatch.setattr(cores.sys, "platform", "linux")

    def count(allowed: range | set[int], files: dict[str, str]) -> int:
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(f"{content}\n")
        monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: set(allowed), raising=False)
        return cores.usable_cores()

    return count


def siblings(listed: dict[int, str]) -> dict[str, str]:
    return {
        f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list": spans
        for cpu, spans in listed.items()
    }


@pytest.mark.parametrize(
    ("listed", "allowed", "count"),
    [
        ({0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}, {0, 1, 2, 3}, 2),
        ({0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3"}, {1, 2}, 2),
        ({0: "0-1", 1: "0-1"}, {0, 1}, 1),
        ({}, {0, 5}, 2),
    ],
)
def test_hyperthreads_count_once(
    listed: dict[int, str], allowed: set[int], count: int, machine: Machine
) -> None:
    assert machine(allowed, siblings(listed)) == count


INTEL = {"sys/devices/cpu_core/cpus": "0-3", "sys/devices/cpu_atom/cpus": "4-11"} | siblings(
    {0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3"}
)


def arm(*capacities: int) -> dict[str, str]:
    return {
        f"sys/devices/system/cpu/cpu{cpu}/cpu_capacity": str(capacity)
        for cpu, capacity in enumerate(capacities)
    }


@pytest.mark.parametrize(
    ("allowed", "files", "count"),
    [
        (range(12), INTEL, 2),
        (range(4, 12), INTEL, 8),
        ({3, 4, 5}, INTEL, 1),
        (range(8), arm(*[446] * 4, *[1024] * 4), 4),
        (range(8), arm(*[280] * 2, *[858] * 5, 1024), 6),
        (range(4), arm(*[446] * 4), 4),
        (range(4), arm(1024, 1024), 2),
    ],
    ids=["hybrid", "only-efficient-ones", "one-of-each", "big-little", "three-kinds", "alike", "half-told"],
)
def test_performance_cores(allowed: set[int], files: dict[str, str], count: int, machine: Machine) -> None:
    assert machine(allowed, files) == count


QUOTAS = [
    ("0::/", CGROUP2, "/", {"sys/fs/cgroup/cpu.max": "200000 100000"}, 2),
    ("0::/", CGROUP2, "/", {"sys/fs/cgroup/cpu.max": "250000 100000"}, 3),
    ("0::/", CGROUP2, "/", {"sys/fs/cgroup/cpu.max": "10000 100000"}, 1),
    ("0::/", CGROUP2, "/", {"sys/fs/cgroup/cpu.max": "max 100000"}, 64),
    ("0::/", CGROUP2, "/", {}, 64),
    (
        "0::/user.slice/job",
        CGROUP2,
        "/",
        {
            "sys/fs/cgroup/user.slice/job/cpu.max": "max 100000",
            "sys/fs/cgroup/user.slice/cpu.max": "300000 100000",
        },
        3,
    ),
    ("4:cpu,cpuacct:/docker/ab", CGROUP1, "/docker/ab", {"": "200000 100000"}, 2),
    ("4:cpu,cpuacct:/docker/ab", CGROUP1, "/", {"docker/ab": "500000 50000"}, 10),
    ("4:cpu,cpuacct:/docker/ab", CGROUP1, "/", {"": "-1 100000"}, 64),
    ("4:memory:/docker/ab", CGROUP1, "/", {"": "200000 100000"}, 64),
    ("", CGROUP1, "/", {"": "200000 100000"}, 64),
]


@pytest.mark.parametrize(("groups", "mount", "root", "files", "count"), QUOTAS)
def test_a_quota_bounds_the_threads(
    groups: str, mount: str, root: str, files: dict[str, str], count: int, machine: Machine
) -> None:
    if mount == CGROUP1:
        files = {
            f"sys/fs/cgroup/cpu,cpuacct/{folder}/cpu.cfs_{key}_us": number
            for folder, numbers in files.items()
            for key, number in zip(("quota", "period"), numbers.split(), strict=True)
        }
    system = {"proc/self/cgroup": groups, "proc/self/mountinfo": mount.format(root=root)}
    assert machine(range(64), system | files) == count


def test_the_session_gets_them(artifact: Path, machine: Machine) -> None:
    assert machine(range(8), {}) == 8
    options = session.create_session(artifact).get_session_options()
    assert options.intra_op_num_threads == 8

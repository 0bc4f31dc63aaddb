"""The processor cores that this process has for arithmetic.

Linux says in files which those are; elsewhere every logical processor counts.
"""

from __future__ import annotations

import math
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Set

ROOT = Path("/")
"""Where ``sys`` and ``proc`` are looked for."""

FULL_CAPACITY = 0.75
"""Part of the largest capacity that a performance core has at least; turbo sets those of one kind apart."""


def usable_cores() -> int:
    """Count the physical cores to compute on.

    Of those that the process may run on, and where the processor has two kinds only the performance cores:
    an operator ends with its slowest thread. A container's quota of processor time bounds their number,
    rounded up as the JVM and Go do.
    """
    if sys.platform != "linux":
        return os.cpu_count() or 1
    allowed = os.sched_getaffinity(0)
    cores = len({_siblings(cpu) for cpu in (_performance(allowed) & allowed) or allowed})
    return max(1, min([cores, *(math.ceil(quota) for quota in _quotas())]))


def _siblings(cpu: int) -> frozenset[int]:
    """The logical CPUs that share a core with ``cpu``.

    It is alone where the kernel does not say.
    """
    listed = _read(_devices() / f"system/cpu/cpu{cpu}/topology/thread_siblings_list")
    return frozenset(_cpu_list(listed)) or frozenset({cpu})


def _performance(cpus: Set[int]) -> set[int]:
    """The CPUs of the faster kind.

    Intel's hybrid processors have a list of them (the kernel's ``cpu_core`` events), Arm's a capacity for
    each CPU (``sysfs-devices-system-cpu``).
    """
    if listed := _read(_devices() / "cpu_core/cpus"):
        return set(_cpu_list(listed))
    capacities = {cpu: _read(_devices() / f"system/cpu/cpu{cpu}/cpu_capacity") for cpu in cpus}
    known = {cpu: int(capacity) for cpu, capacity in capacities.items() if capacity.isdecimal()}
    return {cpu for cpu, capacity in known.items() if capacity >= FULL_CAPACITY * max(known.values())}


class _Mount(NamedTuple):
    """A hierarchy of control groups: the group that is mounted, and where."""

    group: str
    folder: Path


def _quotas() -> Iterator[float]:
    """The processors that each control group above may keep busy.

    ``cpu.max`` in version 2, ``cpu.cfs_quota_us`` over ``cpu.cfs_period_us`` in version 1.
    """
    mounts = _mounts()
    for line in _read(ROOT / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        version = "cpu" if "cpu" in controllers.split(",") else "cgroup2" if not controllers else ""
        if version not in mounts:
            continue
        for folder in _ancestors(mounts[version], group):
            if version == "cgroup2":
                quota, _, period = _read(folder / "cpu.max").partition(" ")
            else:
                quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
            if quota.isdecimal() and period.isdecimal() and int(quota) and int(period):
                yield int(quota) / int(period)


def _mounts() -> dict[str, _Mount]:
    """Mounts of version 1's ``cpu`` controller and of version 2.

    From proc_pid_mountinfo(5).
    """
    found = {}
    for line in _read(ROOT / "proc/self/mountinfo").splitlines():
        place, _, kind = line.partition(" - ")
        _, _, _, group, folder, *_ = place.split(" ")
        file_system, _, options = kind.split(" ", 2)
        controls_cpu = file_system == "cgroup" and "cpu" in options.split(",")
        if controls_cpu or file_system == "cgroup2":
            found["cpu" if controls_cpu else file_system] = _Mount(group, ROOT / folder.lstrip("/"))
    return found


def _ancestors(mount: _Mount, group: str) -> Iterator[Path]:
    """A group's folder and those above it, up to the mount.

    Those outside a container's own view are not there, and are left to the caller to find empty.
    """
    below = group.removeprefix(mount.group.rstrip("/")).strip("/")
    folder = mount.folder / below
    while folder != mount.folder and folder.is_relative_to(mount.folder):
        yield folder
        folder = folder.parent
    yield mount.folder


def _cpu_list(listed: str) -> Iterator[int]:
    """The CPUs of a list as ``0-3,8``."""
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", listed):
        yield from range(int(first), int(last or first) + 1)


def _devices() -> Path:
    return ROOT / "sys/devices"


def _read(path: Path) -> str:
    """A file's text without space around it; empty where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""

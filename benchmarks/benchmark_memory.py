"""The peak memory of this process."""

from __future__ import annotations

import re
import resource
from pathlib import Path


def peak_mb() -> int:
    """Peak resident memory in MB.

    Linux keeps it for each program; ``ru_maxrss`` would count what the parent held when it forked.
    """
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if found:
            return int(found[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

"""Demucs' own classes, recognised without importing demucs."""

import sys
from typing import Any

BAG = "demucs.apply.BagOfModels"
TIME_DOMAIN = "demucs.demucs.Demucs"
HYBRID = "demucs.hdemucs.HDemucs"
HYBRIDS = (HYBRID, "demucs.htdemucs.HTDemucs")


def is_own(module: Any, *paths: str) -> bool:
    """True if a module is an instance of some class ``demucs.FILE.CLASS``.

    Of a class that nothing has imported there is no instance, so nothing is imported: another package may
    have registered itself as ``demucs``, or have classes that look like its.
    """
    return isinstance(module, tuple(found for path in paths if isinstance(found := _imported(path), type)))


def _imported(path: str) -> Any:
    file, _, name = path.rpartition(".")
    return getattr(sys.modules.get(file), name, None)

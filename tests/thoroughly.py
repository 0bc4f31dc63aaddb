"""Cases of which ``make test`` runs a few, and ``make test-thorough`` the others."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def thorough_but(few: Collection[Any], cases: Iterable[Any]) -> list[Any]:
    """All cases of one argument, marked ``thorough`` but for a few."""
    return [case if case in few else pytest.param(case, marks=pytest.mark.thorough) for case in cases]


def thorough(*arguments: Any) -> Any:
    """One case of several arguments, marked ``thorough``."""
    return pytest.param(*arguments, marks=pytest.mark.thorough)

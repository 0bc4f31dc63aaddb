"""Names of weights with the prefixes that wrappers of modules leave."""

from collections.abc import Collection
from typing import Any

_PREFIXES = ("module.", "_orig_mod.", "model.")
"""Of DataParallel, torch.compile and PyTorch Lightning."""


def unwrap_names(state: dict[Any, Any], expected: Collection[str]) -> str:
    """Strip wrappers' prefixes from all names in ``state``, in place, however nested.

    Args:
        state: A state dict.
        expected: The names that the module has; nothing is done where one of them is there.

    Returns:
        What was dropped, such as ``"module._orig_mod."``.
    """
    dropped = ""
    while (prefix := _common_prefix(state)) and not any(name in state for name in expected):
        for name in list(state):
            state[name.removeprefix(prefix)] = state.pop(name)
        dropped += prefix
    return dropped


def _common_prefix(state: dict[Any, Any]) -> str | None:
    names = [str(name) for name in state]
    return next((prefix for prefix in _PREFIXES if names and all(n.startswith(prefix) for n in names)), None)

"""The message for a model name that does not exist."""

import difflib
from collections.abc import Iterable

from onnx_demucs_compiler.errors import UsageError


def unknown_name(name: str, known: Iterable[str], *, where: str) -> UsageError:
    """The error for an unknown name: the closest known names, then all.

    Args:
        name: What was asked for.
        known: The names there are.
        where: What holds those names, as in "no model named X WHERE".
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    suggestion = f" did you mean {close[0]}?" if close else ""
    listing = f"known: {', '.join(names)}" if names else "there are no models"
    return UsageError(f"no model named {name!r} {where};{suggestion} {listing}")

"""Where in the model's own source a node comes from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch.fx import Node


_TORCH = f"{Path(torch.__file__).parent.as_posix()}/"


def source_line(node: Node) -> str:
    """The innermost line of the model's own source that a node comes from, as ``file.py:12: code``."""
    frames = (node.stack_trace or "").replace("\\", "/").split('File "')[1:]
    own = [frame for frame in frames if not frame.startswith(_TORCH)]
    if not own:
        return ""
    where, _, code = own[-1].partition("\n")
    path, _, rest = where.partition('", line ')
    return f"{path.rpartition('/')[2]}:{rest.partition(',')[0]}: {code.strip()}"

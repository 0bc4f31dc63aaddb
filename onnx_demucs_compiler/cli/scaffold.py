"""The start of a new rule: a file whose own case fails until it is written."""

from __future__ import annotations

import keyword
import re
from typing import TYPE_CHECKING

from onnx_demucs_compiler.artifact import write_atomically
from onnx_demucs_compiler.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = '''"""{title}."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from onnx_demucs_compiler.rule import Case, Numerics, Refusal, decompose

if TYPE_CHECKING:
    from torch import Tensor

    from onnx_demucs_compiler.stages.decompose import Site

aten = torch.ops.aten


@decompose(
    aten.relu.default,
    name="{name}",
    why="Say what goes wrong, or slowly, without this rule.",
    numerics=Numerics(min_snr_db=120),
    tags={{"{folder}"}},
    cases=[
        Case("fires", nn.ReLU, ((2, 8),), fires=1),
        Case("refuses", nn.ReLU, ((2,),), fires=0, because="say why it refuses"),
    ],
)
def {function}(site: Site, x: Tensor, *rest: Any) -> Tensor | Refusal:
    """``relu(x)`` → what replaces it."""
    return Refusal("this rule is not written yet")
'''


def write_rule(place: str, root: Path) -> Path:
    """Write a rule that is not written yet.

    Args:
        place: ``folder/kebab-name``.
        root: the package that holds the rules.

    Returns:
        The file.

    Raises:
        UsageError: the place is malformed or taken, or the package is not there.
        CompilerError: the file cannot be written.
    """
    match = re.fullmatch(r"([a-z][a-z0-9_]*)/([a-z][a-z0-9]*(?:-[a-z0-9]+)*)", place)
    if match is None:
        raise UsageError(f"{place!r} is not FOLDER/NAME with a kebab-case name, such as norm/my-rule")
    folder, name = match.groups()
    function = name.replace("-", "_")
    for part in (folder, function):
        if keyword.iskeyword(part):
            raise UsageError(f"{part} is a word of Python's own; choose another name than {place}")
    if not (root / "__init__.py").is_file():
        raise UsageError(f"{root} is not a package of rules; run this where it is, or give --root")
    module = root / folder / f"{function}.py"
    for taken in sorted(root.rglob(module.name)):
        raise UsageError(f"{taken} exists; choose another name")
    module.parent.mkdir(exist_ok=True)
    if not (module.parent / "__init__.py").exists():
        write_atomically(module.parent / "__init__.py", f'"""Rules about {folder}."""\n'.encode())
    title = name.replace("-", " ").capitalize()
    text = TEMPLATE.format(title=title, name=name, folder=folder, function=function)
    write_atomically(module, text.encode())
    return module

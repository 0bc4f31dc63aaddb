"""The scaffold of a new rule, whose case fails until it works."""

from __future__ import annotations

import keyword
import re
from typing import TYPE_CHECKING

from onnx_demucs_compiler.artifact.writing import write_atomically
from onnx_demucs_compiler.cli.templates import TEMPLATES
from onnx_demucs_compiler.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def write_rule(place: str, root: Path, stage: str = "decompose") -> Path:
    """Start the file of a rule.

    Args:
        place: ``folder/kebab-name``.
        root: the package that holds the rules.
        stage: the label of the stage in which it applies.

    Returns:
        The file.

    Raises:
        UsageError: the place is malformed or taken, the package is not there, or no stage has the label.
        CompilerError: the file cannot be written.
    """
    if stage not in TEMPLATES:
        raise UsageError(f"unknown stage {stage}; known: {', '.join(TEMPLATES)}")
    match = re.fullmatch(r"([a-z][a-z0-9_]*)/([a-z][a-z0-9]*(?:-[a-z0-9]+)*)", place)
    if match is None:
        raise UsageError(f"{place!r} is not FOLDER/NAME with a kebab-case name, such as norm/my-rule")
    folder, name = match.groups()
    function = name.replace("-", "_")
    for part in (folder, function):
        if keyword.iskeyword(part):
            raise UsageError(f"{part} is a Python keyword; choose another name than {place}")
    if not (root / "__init__.py").is_file():
        raise UsageError(f"{root} is not a package of rules; run this where it is, or give --root")
    module = root / folder / f"{function}.py"
    for taken in sorted(root.rglob(module.name)):
        raise UsageError(f"{taken} exists; choose another name")
    module.parent.mkdir(exist_ok=True)
    if not (module.parent / "__init__.py").exists():
        write_atomically(module.parent / "__init__.py", f'"""Rules about {folder}."""\n'.encode())
    text = TEMPLATES[stage].format(
        title=name.replace("-", " ").capitalize(),
        name=name,
        folder=folder,
        function=function,
    )
    write_atomically(module, text.encode())
    return module

"""What demucs' safetensors files name: they hold no pickle, but demucs imports the classes they name."""

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open


def class_in(path: Path) -> str:
    """The name of the model's class, with its module.

    Raises:
        Exception: Of any kind, if the file is damaged.
    """
    return _metadata(path)["klass"]


def names_in_safetensors(path: Path) -> set[str]:
    """Every class that the file names; nothing is imported.

    Raises:
        Exception: Of any kind, if the file is damaged.
    """
    metadata = _metadata(path)
    names = {metadata["klass"]}

    def look(node: dict[str, Any]) -> dict[str, Any]:
        if "_class" in node:
            names.add(str(node["_class"]))
        if node.get("_type") == "fraction" and {type(node["numerator"]), type(node["denominator"])} != {int}:
            raise ValueError("a fraction of something else than whole numbers")
        return node

    for text in (metadata["args"], metadata["kwargs"], metadata.get("structure", "{}")):
        json.loads(text, object_hook=look)
    return names


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        metadata: dict[str, str] = file.metadata() or {}
    return metadata

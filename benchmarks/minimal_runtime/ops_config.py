"""Configs of needed operators, as ONNX Runtime's build reads them."""

from __future__ import annotations

import re


def needs_contrib(config: str) -> bool:
    """True if an operator of com.microsoft is among those needed."""
    return any(opset.startswith("com.microsoft;") for opset, _ in _lines(config))


def operators(config: str) -> set[str]:
    """The operators that a config names."""
    return {entry.partition("{")[0] for _, entries in _lines(config) for entry in entries}


def without(config: str, operator: str) -> str:
    """A config with one operator taken out.

    Raises:
        ValueError: The config does not name the operator.
    """
    if operator not in operators(config):
        raise ValueError(f"the config does not name {operator}")
    kept = (
        (opset, [entry for entry in entries if entry.partition("{")[0] != operator])
        for opset, entries in _lines(config)
    )
    return "".join(f"{opset}{','.join(entries)}\n" for opset, entries in kept if entries)


def _lines(config: str) -> list[tuple[str, list[str]]]:
    """``domain;opset;`` and its operators, each with its types."""
    found = re.findall(r"^([\w.]+;[\d,]+;)(.+)$", config, re.MULTILINE)
    return [(opset, re.findall(r"\w+(?:\{.*?\}\})?", entries)) for opset, entries in found]

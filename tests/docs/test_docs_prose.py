"""First lines of docstrings, as CONTRIBUTING.md describes them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_blocks import ROOT

MODULES = sorted(
    path
    for folder in ("onnx_demucs_compiler", "rules", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)
LONGEST = 12
LITERAL = re.compile(r"``[^`]*``|:\w+:`[^`]*`")
QUESTION = re.compile(r"(What|How|Which|Whether|Where|See)\b")


def first_lines(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and (text := ast.get_docstring(node)):
            yield text.splitlines()[0]


def faults(line: str) -> list[str]:
    """The faults of a first line; a literal is one word, and ``before → after`` may be longer."""
    words = [word for word in LITERAL.sub("literal", line).split() if re.search(r"\w", word)]
    found = []
    if QUESTION.match(line):
        found.append(f"begins with {words[0]}")
    if len(words) > LONGEST and "→" not in line:
        found.append(f"has {len(words)} words")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_first_lines_are_short_and_state_their_subject(path: Path) -> None:
    lines = first_lines(path.read_text(encoding="utf-8"))
    assert {line: found for line in lines if (found := faults(line))} == {}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("Whether it rains.", ["begins with Whether"]),
        ("Whatever the weather is.", []),
        ("``[B, C, n]`` of a file, in :data:`BLOCK` samples, at its model's rate.", []),
        (
            "One, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, many.",
            ["has 13 words"],
        ),
        ("``a`` → one, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve.", []),
    ],
)
def test_faults(line: str, found: list[str]) -> None:
    assert faults(line) == found

"""What the documentation holds that can be checked: fenced blocks, links, commands."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DOCUMENTS", "ROOT", "Block", "blocks", "commands", "prose"]

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROGRAMS = ("onnx-demucs", "onnx-demucs-compile")


@dataclass(frozen=True)
class Block:
    document: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"

    @property
    def file(self) -> str | None:
        """The path in the first line, where that is a comment that holds nothing else."""
        match = re.match(r"# (\S+\.py)\n", self.text)
        return match[1] if match else None


def blocks(document: Path, language: str) -> list[Block]:
    text = document.read_text(encoding="utf-8")
    return [
        Block(document, text[: match.start()].count("\n") + 1, match[1], match[2])
        for match in _FENCE.finditer(text)
        if match[1] == language
    ]


def prose(document: Path) -> str:
    """The document without its fenced blocks."""
    return _FENCE.sub("", document.read_text(encoding="utf-8"))


def commands(block: Block) -> Iterator[list[str]]:
    """The arguments of ``onnx-demucs`` in each line of a shell block that runs it."""
    for line in block.text.replace("\\\n", "").splitlines():
        program, *arguments = shlex.split(line, comments=True) or [""]
        name = Path(program).name
        if name in _PROGRAMS:
            yield ["compile", *arguments] if name == "onnx-demucs-compile" else arguments

"""Reading results, and writing them as Markdown."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def load(name: str) -> Any:
    """The latest results of a benchmark."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def versions(found: dict[str, Any]) -> str:
    """Of the packages that figures depend on."""
    return f"torch {found['torch'].partition('+')[0]}, onnxruntime {found['onnxruntime']}"


def table(head: list[str], rows: list[list[Any]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    rule = "|---|" + "---:|" * (len(head) - 1)
    lines = [head, *([str(cell) for cell in row] for row in rows)]
    first, *rest = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([first, rule, *rest])

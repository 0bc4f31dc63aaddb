"""Golden files: what the default rules make of a model, figure by figure, and how that has changed."""

import json
from pathlib import Path

from onnx_demucs_compiler import CompiledModel

Figures = dict[str, dict[str, int]]

FOLDER = Path(__file__).with_name("golden")


def figures_of(compiled: CompiledModel) -> Figures:
    """What changes with a rule: the operators of the graph, and how often each rule fired."""
    report = compiled.report
    return {
        "format": {"opset": report.opset, "ir_version": report.ir_version},
        "operators": dict(sorted(report.operators.items())),
        "fires": {
            name: fires for name, fires in sorted((cost.rule, cost.fires) for cost in report.costs) if fires
        },
    }


def read(path: Path) -> Figures:
    """The figures in a golden file; none where there is no file yet."""
    return json.loads(path.read_text()) if path.exists() else {}


def write(path: Path, figures: Figures) -> None:
    path.write_text(json.dumps(figures, indent=2) + "\n")


def differences(golden: Figures, found: Figures) -> list[str]:
    """One line for each figure that is not what it was."""
    changes = []
    for part in {**golden, **found}:
        before, after = golden.get(part, {}), found.get(part, {})
        for key in sorted({*before, *after}):
            if before.get(key, 0) != after.get(key, 0):
                changes.append(f"{part}: {key} {before.get(key, 0)} → {after.get(key, 0)}")
    return changes

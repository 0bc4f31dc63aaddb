"""The probes of benchmarks/engines, and what of a graph has none."""

import json
from pathlib import Path

import onnx

from onnx_demucs_compiler.contracts.artifact import AI_ONNX
from onnx_demucs_compiler.contracts.engine import UNPROBED
from onnx_demucs_compiler.contracts.forms import CONTROL_FLOW, OPEN, forms
from onnx_demucs_compiler.contracts.reading import described

FILE = Path(__file__).parents[1] / "benchmarks" / "engines" / "probes.json"
PROBES: dict[str, str] = json.loads(FILE.read_text(encoding="utf-8"))


def forms_in(model: onnx.ModelProto) -> set[str]:
    return set(forms(described(model, 0)))


def unprobed(model: onnx.ModelProto) -> set[str]:
    """Forms of operators that no engine was asked about.

    Loops are left out, for which probes are written by hand.
    """
    written = forms(described(model, 0)).items()
    asked = {
        form for form, [first, *_] in written if first.op not in CONTROL_FLOW and first.domain == AI_ONNX
    }
    return asked - PROBES.keys() - UNPROBED - {OPEN}

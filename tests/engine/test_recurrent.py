"""LSTM layers are traced by their shapes, and not step by step."""

from typing import Any

import pytest
import torch
from torch import nn
from torch._decomp import decompositions

from onnx_demucs_compiler import compile
from onnx_demucs_compiler.tracing.recurrent import SELECT


class Recurrent(nn.Module):
    """``[B, C, T]`` to ``[B, 2H, T]`` and the last states, all of which a graph has to get right."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 5, **options)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        y, (state, cell) = self.lstm(x.permute(2, 0, 1))
        return y.permute(1, 2, 0), state, cell


@pytest.mark.parametrize(
    "options", [{"bias": False}, {"num_layers": 2, "bidirectional": True}], ids=["no-bias", "deep"]
)
def test_no_step_is_taken_while_tracing(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    monkeypatch.setattr(decompositions, "lstm_cell", lambda *_, **__: taken.append(1))
    selected = getattr(decompositions, SELECT)
    compiled = compile(Recurrent(**options), example_input=torch.randn(2, 3, 50), min_snr_db=120)
    assert not taken
    assert compiled.report.operators["LSTM"] == options.get("num_layers", 1)
    assert getattr(decompositions, SELECT) is selected


def test_without_it_every_step_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, cell = [], decompositions.lstm_cell

    def counted(*args: Any, **options: Any) -> Any:
        taken.append(1)
        return cell(*args, **options)

    monkeypatch.setattr(decompositions, "lstm_cell", counted)
    with torch.no_grad():
        torch.export.export(Recurrent(), (torch.randn(2, 3, 50),), strict=False)
    assert len(taken) >= 50

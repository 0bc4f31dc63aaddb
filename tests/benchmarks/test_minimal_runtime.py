"""What ``benchmarks/minimal_runtime`` reads and decides before it builds."""

from pathlib import Path

import debian
import pytest
from needed_sources import unneeded
from ops_config import needs_contrib, operators, without

CONFIG = """\
# Generated from model/s:
# - model.ort
ai.onnx;11;Conv{"inputs": {"0": ["float"]}},ConvTranspose
ai.onnx;13;Slice{"inputs": {"0": ["float"], "1": ["int64_t"]}},Softmax{"inputs": {"0": ["float"]}}
com.microsoft;1;MultiHeadAttention
"""


def test_operators_of_a_config() -> None:
    assert operators(CONFIG) == {"Conv", "ConvTranspose", "Slice", "Softmax", "MultiHeadAttention"}


def test_contrib_operators_are_told_apart() -> None:
    assert needs_contrib(CONFIG)
    assert not needs_contrib(without(CONFIG, "MultiHeadAttention"))


@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose", "Slice", "Softmax", "MultiHeadAttention"])
def test_an_operator_is_taken_out_with_its_types_and_no_other(operator: str) -> None:
    reduced = without(CONFIG, operator)
    assert operators(reduced) == operators(CONFIG) - {operator}
    assert all(line.endswith((",", "}", "e", "n")) and ";;" not in line for line in reduced.splitlines())
    assert reduced.count("{") == reduced.count("}")


def test_an_operator_that_is_not_there_cannot_be_taken_out() -> None:
    with pytest.raises(ValueError, match="does not name Gelu"):
        without(CONFIG, "Gelu")


def test_sources_of_kernels_that_are_not_needed(tmp_path: Path) -> None:
    helper = "Status Prepare(const Tensor& input) { return Status::OK(); }"
    kernels = tmp_path / "onnxruntime/core/providers/cpu"
    for name, text in {
        "tensor/slice.cc": "ONNX_CPU_OPERATOR_VERSIONED_KERNEL(\n    Slice,\n    1, 9,\n    Builder());",
        "tensor/tile.cc": "ONNX_CPU_OPERATOR_KERNEL(\n    Tile,\n    13,\n    KernelDefBuilder());",
        "tensor/slice_helper.cc": helper,
        "math/elementwise.cc": "REG_ELEMENTWISE_KERNEL(Pow, 7, float);\nREG_TYPED_KERNEL(Softmax, 7, float);",
        "rnn/rnn.cc": "ONNX_CPU_OPERATOR_KERNEL(\n    RNN,\n    14,\n    KernelDefBuilder());",
        "rnn/rnn_helper.cc": helper,
        "utils.cc": helper,
    }.items():
        (kernels / name).parent.mkdir(parents=True, exist_ok=True)
        (kernels / name).write_text(text)
    config = tmp_path / "model.config"
    config.write_text(CONFIG)
    assert set(unneeded(tmp_path, config)) == {
        kernels / "rnn/rnn.cc",
        kernels / "rnn/rnn_helper.cc",
        kernels / "tensor/tile.cc",
    }


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("sources.list", "deb [signed-by=/a.gpg] http://mirror.example/debian trixie main\n"),
        (
            "sources.list.d/debian.sources",
            "Types: deb\nURIs: http://mirror.example/debian/\n",
        ),
        ("sources.list.d/debian.list", "deb http://mirror.example/debian trixie main\n"),
    ],
)
def test_the_mirror_is_the_machine_s(
    file: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / file).write_text(text)
    monkeypatch.setattr(debian, "APT", tmp_path)
    assert debian.mirror() == "http://mirror.example/debian"


def test_debian_s_own_mirror_where_the_machine_names_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "tools.list").write_text("deb http://tools.example/apt stable main\n")
    monkeypatch.setattr(debian, "APT", tmp_path)
    assert debian.mirror() == debian.DEFAULT_MIRROR

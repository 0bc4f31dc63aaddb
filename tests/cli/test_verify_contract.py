"""``onnx-demucs verify --contract``."""

from pathlib import Path

import onnx
import pytest
from cli_examples import fails_cleanly, run, strict_json, succeeds

import onnx_demucs_compiler
from onnx_demucs_compiler.contracts.official import FORBIDDEN
from onnx_demucs_compiler.contracts.reading import read_artifact
from onnx_demucs_rules.examples import plain_htdemucs


@pytest.fixture
def blocked(artifact: Path, folder: Path) -> Path:
    """The artifact, its convolution one that ONNX Runtime makes for its own processor."""
    model = onnx.load(artifact)
    [convolution] = [node for node in model.graph.node if node.op_type == "Conv"]
    convolution.domain = FORBIDDEN
    model.opset_import.append(onnx.helper.make_opsetid(FORBIDDEN, 1))
    onnx.save(model, folder / "blocked.onnx")
    return folder / "blocked.onnx"


def test_kept(artifact: Path, folder: Path) -> None:
    """Without the model, of which nothing can be known here."""
    printed = succeeds(run("verify", artifact, "--contract", "official", "--contract", "web"))
    assert printed.count("kept") == 2
    assert succeeds(run("verify", artifact, "--contract", "official", "--quiet")) == ""


def test_broken(blocked: Path) -> None:
    result = run("verify", blocked, "--contract", "official")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "breaks official in 1 point; official: com.microsoft.nchwc;1;Conv is made for" in result.stderr
    assert "broken" in result.stdout
    fails_cleanly(
        run("verify", blocked, "--contract", "official", "-q"), 1, "breaks official", "(1: model/Conv_"
    )


def test_json(blocked: Path) -> None:
    result = run("verify", blocked, "--contract", "official", "--contract", "openkara", "--json")
    assert result.exit_code == 1
    official, openkara = strict_json(result.stdout)["contracts"]
    assert (official["contract"], official["kept"], openkara["kept"]) == ("official", False, False)
    [finding] = official["findings"]
    assert finding["breaks"]
    assert len(finding["nodes"]) == 1


def test_parity_too_where_a_model_is_named(artifact: Path, checkpoint: Path) -> None:
    arguments = ("verify", artifact, "--contract", "official", "--model", checkpoint)
    assert "PyTorch float32" in succeeds(run(*arguments))
    assert strict_json(succeeds(run(*arguments, "--json"))).keys() == {"contracts", "fidelity"}
    fails_cleanly(run(*arguments[:-2], "--min-snr", 60), 2, "add --model NAME")
    fails_cleanly(run("verify", artifact, "--contract", "all"), 2, "unknown contract all; known: portable")


@pytest.mark.parametrize("options", [{}, {"target": "ort"}, {"track": True}], ids=str)
def test_nothing_we_ship_is_made_for_one_processor(options: dict[str, object], tmp_path: Path) -> None:
    path = onnx_demucs_compiler.compile(plain_htdemucs(t_layers=1), verify=False, **options).save(
        tmp_path / "x.onnx"
    )
    shipped = read_artifact(path)
    domains = {node.domain for node in shipped.nodes}
    assert len(shipped.nodes) > 100
    assert "ai.onnx" in domains
    assert FORBIDDEN not in domains | shipped.opsets.keys()
    succeeds(run("verify", path, "--contract", "official", "--quiet"))

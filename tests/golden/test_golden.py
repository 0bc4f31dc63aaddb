"""What the default rules make of small models, figure by figure; the full size is in ``tests/full_size``."""

import json
from collections.abc import Callable
from pathlib import Path

import golden_files
import pytest
import torch
from golden_models import MODELS
from probed_forms import unprobed

from onnx_demucs_compiler import CompiledModel, compile, default
from onnx_demucs_compiler.targets import TARGETS

NAME = "small-htdemucs-portable"

EXCEPTIONS = {
    "int8-weights": "fires as often as a measurement on this machine says",
    "sizes-rounded-down": "fires in graphs of open length, of which none is kept",
}
"""Default rules that fire in no golden file."""

NOT_YET_PROBED = {
    "bands": {
        "Concat: axis 0",
        "Concat: axis 4, 5 axes",
        "Gather: axis 0, one place",
        "Gather: axis 0, places",
        "Gather: axis 4, one place, 5 axes",
        "Split: axis 0, sizes",
    },
    "complex": {
        "Concat: axis 4, 5 axes",
        "Gather: axis 3, one place, 5 axes",
        "MatMul: constant right",
        "Transpose: 0 1 2 4 3, 5 axes",
        "Transpose: 0 3 1 2",
    },
    "convolutions-web": {
        "Conv: 2-D, strided, padded, no bias",
        "MatMul: constant left",
        "Transpose: 1 0 2",
        "Transpose: 2 3 0 4 1, 5 axes",
    },
    "masked": {"Clip", "Exp", "LeakyRelu", "Max", "ReduceL2", "ReduceMax: inner axes"},
}
"""Forms of which no engine was asked yet by themselves (benchmarks/engines)."""

CheckGolden = Callable[[str, CompiledModel], None]


def made(name: str) -> CompiledModel:
    build, options = MODELS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = build()
    return compile(module, verify=False, **options)


@pytest.fixture(scope="module")
def small() -> CompiledModel:
    return made(NAME)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Golden files in a folder of the test's own."""
    monkeypatch.setattr(golden_files, "FOLDER", tmp_path)
    return tmp_path / f"{NAME}.json"


def update_is(value: bool, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request.config.option, "update_golden", value)


def test_small_htdemucs(small: CompiledModel, check_golden: CheckGolden) -> None:
    check_golden(NAME, small)
    assert unprobed(small.model) == set()


@pytest.mark.parametrize("name", [name for name in MODELS if name != NAME])
def test_small_models(name: str, check_golden: CheckGolden) -> None:
    compiled = made(name)
    check_golden(name, compiled)
    wanted = NOT_YET_PROBED.get(name, set())
    assert unprobed(compiled.model) == wanted, "compile it to a file: benchmarks/engines/probes.py FILE"


def test_every_default_rule_fires_in_some_golden_file() -> None:
    files = map(golden_files.read, golden_files.FOLDER.glob("*.json"))
    fired = {name for figures in files for name in figures["fires"]}
    of_graphs = {rule.name for rule in default if rule.targets & set(TARGETS.values())}
    assert of_graphs - fired == EXCEPTIONS.keys()


def test_changes_are_told_figure_by_figure(
    small: CompiledModel,
    check_golden: CheckGolden,
    elsewhere: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    figures = golden_files.figures_of(small)
    convolutions = figures["operators"].pop("Conv")
    figures["fires"] |= {"stft-as-matmul": 3, "stft-as-conv": 2}
    elsewhere.write_text(json.dumps(figures))
    update_is(False, request, monkeypatch)
    with pytest.raises(pytest.fail.Exception) as failure:
        check_golden(NAME, small)
    first, *changes, advice = str(failure.value).splitlines()
    assert first == f"{NAME}.json says otherwise:"
    assert [line.strip() for line in changes] == [
        f"operators: Conv 0 → {convolutions}",
        "fires: stft-as-conv 2 → 0",
        "fires: stft-as-matmul 3 → 1",
    ]
    assert advice.endswith("test_changes_are_told_figure_by_figure --update-golden")
    assert json.loads(elsewhere.read_text()) == figures


def test_a_missing_file_is_written_only_when_asked(
    small: CompiledModel,
    check_golden: CheckGolden,
    elsewhere: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    update_is(False, request, monkeypatch)
    with pytest.raises(pytest.fail.Exception):
        check_golden(NAME, small)
    assert not elsewhere.exists()
    update_is(True, request, monkeypatch)
    check_golden(NAME, small)
    update_is(False, request, monkeypatch)
    check_golden(NAME, small)

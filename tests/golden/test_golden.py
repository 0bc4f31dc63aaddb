"""What the default rules make of a small model, figure by figure; the full size is in ``tests/full_size``."""

import json
from collections.abc import Callable
from pathlib import Path

import golden_files
import pytest

from onnx_demucs_compiler import CompiledModel, compile
from onnx_demucs_rules.examples import small_htdemucs

NAME = "small-htdemucs-portable"

CheckGolden = Callable[[str, CompiledModel], None]


@pytest.fixture(scope="module")
def small() -> CompiledModel:
    return compile(small_htdemucs(), verify=False)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Golden files in a folder of the test's own."""
    monkeypatch.setattr(golden_files, "FOLDER", tmp_path)
    return tmp_path / f"{NAME}.json"


def update_is(value: bool, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request.config.option, "update_golden", value)


def test_small_htdemucs(small: CompiledModel, check_golden: CheckGolden) -> None:
    check_golden(NAME, small)


def test_small_htdemucs_for_onnxruntime(check_golden: CheckGolden) -> None:
    check_golden("small-htdemucs-ort", compile(small_htdemucs(), target="ort", verify=False))


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

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.loading import as_source_model, load_model

Package = dict[str, Any]
Write = Callable[..., Path]


def refusal(spec: Path | str) -> str:
    """The one-line message with which loading fails: work that failed, not wrong usage."""
    with pytest.raises(CompilerError) as error:
        load_model(str(spec))
    assert not isinstance(error.value, UsageError)
    assert "\n" not in str(error.value)
    assert str(spec) in str(error.value)
    return str(error.value)


def test_checkpoint_gives_the_model_that_was_saved(
    tiny_model: nn.Module, package: Package, write_checkpoint: Write
) -> None:
    path = write_checkpoint(package)
    model = load_model(str(path))
    assert model.name == path.stem
    assert model.sources == ("speech", "noise")
    assert (model.sample_rate, model.audio_channels, model.segment) == (8000, 2, 1600)
    assert model.provenance == f"checkpoint {path.name}, sha256 {path.stem.partition('-')[2]}"
    assert not model.module.training

    audio = torch.randn(1, 2, 1600, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = tiny_model.half().float()(audio)
        actual = model.module(audio)
    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


def test_a_path_is_taken_like_its_text(package: Package, write_checkpoint: Write) -> None:
    path = write_checkpoint(package)
    assert as_source_model(path).provenance == load_model(str(path)).provenance


def test_a_name_without_checksum_is_not_checked(package: Package, write_checkpoint: Write) -> None:
    checked = write_checkpoint(package)
    path = checked.rename(checked.with_name("my-model.th"))
    checksum = checked.stem.partition("-")[2]
    assert load_model(str(path)).provenance == f"checkpoint my-model.th, sha256 {checksum}"


def test_any_existing_file_is_taken_for_a_checkpoint(
    package: Package, write_checkpoint: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_checkpoint(package)
    monkeypatch.chdir(path.parent)
    path.rename("best")
    assert load_model("best").segment == 1600


def test_wrong_checksum_is_refused(package: Package, write_checkpoint: Write) -> None:
    message = refusal(write_checkpoint(package, checksum="00000000"))
    assert "does not match the checksum in its name: expected 00000000" in message
    assert "download it again" in message


def test_missing_file_is_refused(tmp_path: Path) -> None:
    assert "there is no checkpoint" in refusal(tmp_path / "absent.th")
    assert "there is no checkpoint" in refusal("some/where")


def test_directory_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "models.th"
    folder.mkdir()
    assert "is a directory" in refusal(folder)
    assert "--repo" in refusal(folder)


@pytest.mark.parametrize("kept", [0, 1, 1000, -1])
def test_truncated_file_is_refused(package: Package, write_checkpoint: Write, kept: int) -> None:
    path = write_checkpoint(package)
    damaged = path.with_name("damaged.th")
    damaged.write_bytes(path.read_bytes()[:kept])
    assert "damaged or not a PyTorch file" in refusal(damaged)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "song.th"
    path.write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt ")
    assert "damaged or not a PyTorch file" in refusal(path)


@pytest.mark.parametrize("key", ["klass", "args", "kwargs", "state"])
def test_incomplete_checkpoint_is_refused(package: Package, write_checkpoint: Write, key: str) -> None:
    del package[key]
    assert "is not a demucs checkpoint" in refusal(write_checkpoint(package))


@pytest.mark.parametrize("content", [{"weight": torch.zeros(2)}, [1, 2], torch.zeros(2), None])
def test_a_pickle_of_something_else_is_refused(write_checkpoint: Write, content: object) -> None:
    assert "is not a demucs checkpoint" in refusal(write_checkpoint(content))


def test_a_state_that_does_not_fit_is_refused(package: Package, write_checkpoint: Write) -> None:
    package["kwargs"] = {**package["kwargs"], "channels": 16}
    message = refusal(write_checkpoint(package))
    assert "does not fit its class <class 'demucs.htdemucs.HTDemucs'>" in message
    assert "size mismatch" in message


def test_a_state_that_lacks_a_tensor_is_refused(package: Package, write_checkpoint: Write) -> None:
    del package["state"]["encoder.0.conv.weight"]
    assert "Missing key(s)" in refusal(write_checkpoint(package))


def test_arguments_that_are_not_the_classes_are_refused(package: Package, write_checkpoint: Write) -> None:
    package["kwargs"] = {**package["kwargs"], "depth": "two"}
    assert "does not fit its class <class 'demucs.htdemucs.HTDemucs'>" in refusal(write_checkpoint(package))


def test_a_quantised_checkpoint_without_diffq_is_refused(
    package: Package, write_checkpoint: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "diffq", None)
    package["state"]["__quantized"] = True
    assert "is quantised with DiffQ" in refusal(write_checkpoint(package))


def test_a_parameter_unknown_to_this_demucs_is_dropped_with_a_warning(
    package: Package, write_checkpoint: Write
) -> None:
    package["kwargs"] = {**package["kwargs"], "from_the_future": 1}
    source = load_model(str(write_checkpoint(package)))
    assert source.segment == 1600
    [warning] = source.warnings
    assert warning.startswith("dropped 'from_the_future', which ")

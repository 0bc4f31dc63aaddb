from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from demucs.apply import apply_model
from demucs.pretrained import get_model

from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.loading import load_model

Package = dict[str, Any]
Write = Callable[..., Path]


@pytest.fixture
def checkpoint(package: Package, write_checkpoint: Write) -> Path:
    return write_checkpoint(package, signature="deadbeef")


@pytest.fixture
def folder(checkpoint: Path) -> Path:
    return checkpoint.parent


def refusal(name: str, folder: Path, kind: type[CompilerError] = CompilerError) -> str:
    with pytest.raises(CompilerError) as error:
        load_model(name, repo=folder)
    assert type(error.value) is kind
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_checkpoint_is_found_by_its_signature(folder: Path, checkpoint: Path) -> None:
    model = load_model("deadbeef", repo=folder)
    assert (model.name, model.segment) == ("deadbeef", 1600)
    assert model.provenance.startswith(f"checkpoint {checkpoint.name}, sha256 ")


@pytest.mark.parametrize("weights", ["", "weights: [[1., 1.]]", "weights: [[0.5, 2]]"])
def test_a_bag_of_one_is_its_only_member(folder: Path, checkpoint: Path, weights: str) -> None:
    (folder / "mine.yaml").write_text(f"models: ['deadbeef']\n{weights}\n")
    model = load_model("mine", repo=folder)
    assert model.name == "mine"
    assert type(model.module).__name__ == "HTDemucs"
    assert model.weights_digest() == load_model("deadbeef", repo=folder).weights_digest()
    assert model.provenance.startswith(f"checkpoint {checkpoint.name}, sha256 ")


@pytest.mark.parametrize(("segment", "samples"), [(0.1, 800), (44, 1600)])
def test_the_segment_of_a_bag_counts_as_in_demucs(folder: Path, segment: float, samples: int) -> None:
    (folder / "mine.yaml").write_text(f"models: ['deadbeef']\nsegment: {segment}\n")
    ours = load_model("mine", repo=folder)
    theirs = get_model("mine", repo=folder).models[0]
    assert ours.segment == samples == int(theirs.segment * theirs.samplerate)


def test_the_bag_gives_what_demucs_gives(folder: Path) -> None:
    (folder / "mine.yaml").write_text("models: ['deadbeef']\n")
    audio = torch.randn(1, 2, 1600, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = load_model("mine", repo=folder).module(audio)
        theirs = get_model("mine", repo=folder).models[0](audio)
    assert torch.equal(ours, theirs)


def test_with_a_folder_every_spec_is_a_name_in_it(folder: Path, checkpoint: Path) -> None:
    assert "no model named 'untrained:htdemucs'" in refusal("untrained:htdemucs", folder, UsageError)
    assert "known: deadbeef" in refusal(str(checkpoint), folder, UsageError)


def test_unknown_name_lists_what_the_folder_holds(folder: Path) -> None:
    (folder / "mine.yaml").write_text("models: ['deadbeef']\n")
    message = refusal("deadbeaf", folder, UsageError)
    assert f"no model named 'deadbeaf' is in {folder}" in message
    assert "did you mean deadbeef? known: deadbeef, mine" in message


def test_empty_folder_says_so(tmp_path: Path) -> None:
    assert "there are no models" in refusal("htdemucs", tmp_path, UsageError)


def test_missing_folder_is_wrong_usage(tmp_path: Path) -> None:
    assert "there is no folder" in refusal("htdemucs", tmp_path / "absent", UsageError)


def test_a_file_is_no_folder(folder: Path, checkpoint: Path) -> None:
    assert "there is no folder" in refusal("deadbeef", checkpoint, UsageError)


def test_wrong_checksum_is_refused(package: Package, write_checkpoint: Write) -> None:
    path = write_checkpoint(package, checksum="00000000")
    assert "does not match the checksum" in refusal("deadbeef", path.parent)


def test_wrong_checksum_of_a_member_is_refused(package: Package, write_checkpoint: Write) -> None:
    path = write_checkpoint(package, checksum="00000000")
    (path.parent / "mine.yaml").write_text("models: ['deadbeef']\n")
    assert f"the checkpoint {path} does not match" in refusal("mine", path.parent)


def test_two_files_of_one_signature_are_refused(folder: Path, checkpoint: Path) -> None:
    (folder / "deadbeef.th").write_bytes(checkpoint.read_bytes())
    message = refusal("deadbeef", folder)
    assert str(folder) in message
    assert "Duplicate" in message


@pytest.mark.parametrize("weights", ["", "weights: [[1., 0.], [0., 1.]]", "weights: [[1., 3.], [2., 0.]]"])
def test_a_bag_of_several_gives_what_demucs_gives(
    folder: Path, package: Package, write_checkpoint: Write, weights: str
) -> None:
    package["state"] = {name: tensor * 0.9 for name, tensor in package["state"].items()}
    write_checkpoint(package, signature="cafebabe")
    (folder / "many.yaml").write_text(f"models: ['deadbeef', 'cafebabe']\n{weights}\n")
    audio = torch.randn(1, 2, 1600, generator=torch.Generator().manual_seed(0))
    model = load_model("many", repo=folder)
    theirs = apply_model(get_model("many", repo=folder), audio, shifts=0, split=False)
    with torch.no_grad():
        ours = model.module(audio)
    assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()
    assert "deadbeef" in model.provenance
    assert "cafebabe" in model.provenance


def test_a_repeated_member_runs_once(folder: Path) -> None:
    (folder / "twice.yaml").write_text("models: ['deadbeef', 'deadbeef']\n")
    assert type(load_model("twice", repo=folder).module).__name__ == "HTDemucs"


def test_weights_that_sum_to_zero_are_refused(folder: Path) -> None:
    (folder / "many.yaml").write_text("models: ['deadbeef', 'deadbeef']\nweights: [[1., 0.], [1., 0.]]\n")
    assert "many gives the source noise sum to 0" in refusal("many", folder)


def test_a_bag_without_its_member_is_refused(folder: Path) -> None:
    (folder / "mine.yaml").write_text("models: ['cafebabe']\n")
    assert "needs the checkpoint cafebabe, which is not beside it" in refusal("mine", folder)


def test_a_bag_that_silences_a_source_is_refused(folder: Path) -> None:
    (folder / "mine.yaml").write_text("models: ['deadbeef']\nweights: [[1., 0.]]\n")
    assert "the bag mine gives a source of its only model the weight 0" in refusal("mine", folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models: [", "cannot read the bag"),
        ("", "names no models"),
        ("- deadbeef", "names no models"),
        ("weights: [[1., 1.]]", "names no models"),
        ("models: []", "names no models"),
        ("models: deadbeef", "names no models"),
        ("models: [12345678]", "names no models"),
        ("models: ['deadbeef']\nweights: [[1.]]", "is malformed"),
        ("models: ['deadbeef']\nweights: 1", "is malformed"),
        ("models: ['deadbeef']\nsegment: long", "is malformed"),
    ],
)
def test_a_malformed_bag_is_refused(folder: Path, text: str, message: str) -> None:
    (folder / "mine.yaml").write_text(text)
    actual = refusal("mine", folder)
    assert message in actual
    assert str(folder / "mine.yaml") in actual

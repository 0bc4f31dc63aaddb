"""A file that another program changed after it was compiled, as ``verify`` and ``info`` tell of it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from cli_examples import fails_cleanly, run, strict_json, succeeds
from onnx import ModelProto, helper, numpy_helper

from onnx_demucs_compiler import __version__

CHANGED = "was changed after it was compiled; its producer is "
OURS = f"onnx-demucs-compiler {__version__}"


def weight(model: ModelProto) -> None:
    [found] = [item for item in model.graph.initializer if item.name == "encoder.0.0.weight"]
    found.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(found) * np.float32(1.000001), found.name))


def node(model: ModelProto) -> None:
    first = model.graph.node[0]
    model.graph.node.insert(0, helper.make_node("Identity", [first.input[0]], ["same"]))
    model.graph.node[1].input[0] = "same"


def producer(model: ModelProto) -> None:
    model.producer_name, model.producer_version = "simplifier", "1.2"


def node_and_metadata(model: ModelProto) -> None:
    node(model)
    for key in ("simplifier.rounds", "simplifier.ok", "optimiser.level"):
        model.metadata_props.add(key=key, value="1")


EDITS = [
    (weight, OURS),
    (node, OURS),
    (producer, "simplifier 1.2"),
    (node_and_metadata, f"{OURS}, and its metadata names optimiser, simplifier"),
]


@pytest.fixture
def other(artifact: Path, folder: Path) -> Callable[[Callable[[ModelProto], object]], Path]:
    """The artifact, loaded, edited and saved."""

    def edited(edit: Callable[[ModelProto], object]) -> Path:
        model = onnx.load(artifact)
        edit(model)
        onnx.save(model, folder / "other.onnx")
        return folder / "other.onnx"

    return edited


Other = Callable[[Callable[[ModelProto], object]], Path]


@pytest.mark.parametrize(("edit", "told"), EDITS, ids=[edit.__name__ for edit, _ in EDITS])
def test_an_edit(edit: Callable[[ModelProto], None], told: str, other: Other, checkpoint: Path) -> None:
    path = other(edit)
    result = run("verify", path, "--model", checkpoint)
    assert result.exit_code == 1
    assert "song" in result.stdout  # it is measured as it is
    assert result.stderr == f"error: {path} {CHANGED}{told}\n"
    fails_cleanly(run("verify", path, "--contract", "official", "--quiet"), 1, CHANGED + told)
    facts = strict_json(succeeds(run("info", path, "--json")))
    assert (facts["changed"], facts["change"]) == (True, f"its producer is {told}")
    assert "changed:         yes" in succeeds(run("info", path)).splitlines()


def test_an_edit_that_fails_too(other: Other, checkpoint: Path) -> None:
    result = run("verify", other(weight), "--model", checkpoint, "--min-snr", "500")
    fails_cleanly(result, 1, CHANGED + OURS, "; parity failed: ", "below the gate of 500 dB")


def test_saved_again(other: Other, checkpoint: Path) -> None:
    path = other(lambda model: model.metadata_props.add(key="author", value="me"))
    succeeds(run("verify", path, "--model", checkpoint))
    succeeds(run("verify", path, "--contract", "official"))
    assert strict_json(succeeds(run("info", path, "--json")))["changed"] is False


def test_weights_in_another_file(artifact: Path, folder: Path, checkpoint: Path) -> None:
    path, data = folder / "external.onnx", folder / "external.data"
    onnx.save(onnx.load(artifact), path, save_as_external_data=True, location=data.name, size_threshold=0)
    succeeds(run("verify", path, "--model", checkpoint))
    kept = bytearray(data.read_bytes())
    kept[0] ^= 1
    data.write_bytes(kept)
    assert CHANGED + OURS in run("verify", path, "--model", checkpoint).stderr
    data.unlink()
    facts = strict_json(succeeds(run("info", path, "--json")))
    assert facts["changed"] is None
    assert "its weights in another file cannot be read" in facts["change"]


def test_an_older_file(other: Other, checkpoint: Path) -> None:
    def edit(model: ModelProto) -> None:
        node(model)
        [told] = [item for item in model.metadata_props if item.key == "onnx_demucs.digest"]
        model.metadata_props.remove(told)

    path = other(edit)
    result = run("verify", path, "--model", checkpoint)
    assert result.exit_code == 0
    assert result.stderr == f"warning: {path} is older than the digest that would tell of a change\n"
    printed = succeeds(run("info", path)).splitlines()
    assert "changed:         not known" in printed
    assert "change:          the file is older than the digest that would tell" in printed


def test_the_ort_format_of_a_file(checkpoint: Path, folder: Path) -> None:
    succeeds(run("compile", checkpoint, "-o", "two.onnx", "--ort-format", "--no-verify", "--quiet"))
    facts = strict_json(succeeds(run("info", "two.ort", "--json")))
    assert (facts["changed"], facts["producer"]) == (None, OURS)
    assert facts["change"] == "the digest is that of the .onnx file it was converted from"
    succeeds(run("verify", "two.ort", "--contract", "minimal"))


def test_a_file_of_another_program(other: Other, checkpoint: Path) -> None:
    def edit(model: ModelProto) -> None:
        producer(model)
        del model.metadata_props[:]

    path = other(edit)
    result = run("verify", path, "--model", checkpoint)
    told = f"{path} was not written by this compiler: it has no metadata of onnx-demucs-compiler"
    fails_cleanly(result, 1, told, "its producer is simplifier 1.2; compile the checkpoint")
    succeeds(run("verify", path, "--contract", "official"))

"""Dumps: every level of a compile in a folder."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from observe_examples import GATED, MIX, Gated
from torch import nn

from onnx_demucs_compiler import CompilerError, UsageError, compile
from onnx_demucs_compiler.observe.dump import WEIGHTS, Dump
from onnx_demucs_compiler.observe.observer import Moment, Observer
from onnx_demucs_compiler.rules import RULE_KEY


def dumped(folder: Path, **options: Any) -> Any:
    return compile(Gated(), GATED, example_input=MIX, target="ort", observer=Dump(folder), **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dump") / "steps"
    dumped(folder)
    return folder


def test_there_is_a_file_for_every_level_and_every_rule_that_fired(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir() if path.suffix != ".diff") == [
        "100-trace.txt",
        "200-decompose.txt",
        "300-translate.onnx",
        "400-tidy.onnx",
        "401-glu-as-two-convolutions.onnx",
        "402-merge.onnx",
        WEIGHTS,
    ]
    assert "torch.ops.aten.glu" in (folder / "100-trace.txt").read_text()


def test_every_graph_runs_as_it_lies_there(folder: Path) -> None:
    expected = Gated()(MIX).detach().numpy()
    for path in folder.glob("*.onnx"):
        onnx.checker.check_model(path)
        session = ort.InferenceSession(path)
        [output] = session.run(None, {session.get_inputs()[0].name: MIX.numpy()})
        np.testing.assert_allclose(output, expected, atol=1e-5)


def test_weights_are_stored_once(folder: Path) -> None:
    weights = sum(value.numel() * 4 for value in Gated().parameters() if value.numel() > 64)
    # Whole, in the halves that the rule makes, and rounded up to the alignment.
    assert weights < (folder / WEIGHTS).stat().st_size < 3 * weights
    assert all(path.stat().st_size < weights for path in folder.glob("*.onnx"))


def test_a_diff_tells_what_a_rule_changed(folder: Path) -> None:
    lines = (folder / "401-glu-as-two-convolutions.diff").read_text().splitlines()
    gone = [line for line in lines if re.match(r"-.*\b(Conv|Split) ", line)]
    new = [line for line in lines if re.match(r"\+.*\bConv ", line)]
    assert (len(gone), len(new)) == (4, 4)
    assert all(line.endswith("# float[1,32,64]") for line in new), new


def test_nodes_tell_their_rule_source_and_module(folder: Path) -> None:
    model = onnx.load(folder / "401-glu-as-two-convolutions.onnx", load_external_data=False)
    [first, *_] = [node for node in model.graph.node if node.op_type == "Conv"]
    metadata = {entry.key: entry.value for entry in first.metadata_props}
    assert metadata[RULE_KEY] == "glu-as-two-convolutions"
    assert metadata["module"] == "layers.0.1"
    assert re.fullmatch(r"observe_examples\.py:\d+: x = layer\(x\)", metadata["source"])
    assert str(Path(__file__).parent).encode() not in model.SerializeToString()


def test_an_observer_changes_no_byte(tmp_path: Path) -> None:
    plain = compile(Gated(), GATED, example_input=MIX, target="ort")
    seen = dumped(tmp_path / "steps")
    assert plain.model.SerializeToString() == seen.model.SerializeToString()


def test_what_is_written_stays_when_the_compile_fails(tmp_path: Path) -> None:
    with pytest.raises(CompilerError, match="parity failed"):
        dumped(tmp_path / "steps", min_snr_db=300)
    assert (tmp_path / "steps" / "402-merge.onnx").is_file()


def test_a_dump_is_replaced_only_when_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds a dump; give --force to replace it"):
        Dump(folder)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match="is not a dump"):
        Dump(tmp_path, force=True)
    assert (tmp_path / "notes.txt").exists()
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    (earlier / "404-gone.onnx").touch()
    Dump(earlier, force=True)
    assert list(earlier.iterdir()) == []


def test_the_folder_it_goes_into_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(CompilerError, match="does not exist; create it first"):
        Dump(tmp_path / "no" / "steps")


def test_an_observer_may_print(capsys: pytest.CaptureFixture[str]) -> None:
    class Printing(Observer):
        def model(self, moment: Moment, model: ir.Model) -> None:
            print(moment, len(model.graph))  # noqa: T201

    compile(Gated(), GATED, example_input=MIX, target="ort", observer=Printing(), verify=False)
    assert capsys.readouterr().out.splitlines() == [
        "300-translate 8", "400-tidy 8", "401-glu-as-two-convolutions 12", "402-merge 8",
    ]  # fmt: skip


def test_an_observer_need_not_look_at_everything() -> None:
    compile(nn.ReLU(), example_input=MIX, observer=Observer())

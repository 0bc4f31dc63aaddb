"""Stopping after a rule: a graph that is finished, runs, and says that it is partial."""

import numpy as np
import onnxruntime as ort
import pytest
from observe_examples import GATED, MIX, Gated

from onnx_demucs_compiler import UsageError, compile, default
from onnx_demucs_compiler.artifact.metadata import ArtifactMetadata

KEY = "onnx_demucs.stopped_after"


def test_later_rules_are_left_out() -> None:
    whole = compile(Gated(), GATED, example_input=MIX, target="ort")
    partial = compile(Gated(), GATED, example_input=MIX, target="ort", stop_after="glu-as-two-convolutions")
    assert partial.report.warnings == (
        "the graph is as glu-as-two-convolutions leaves it; later rules were not applied",
    )
    properties = {entry.key: entry.value for entry in partial.model.metadata_props}
    assert properties[KEY] == "glu-as-two-convolutions"
    assert ArtifactMetadata.from_props(properties) == partial.metadata
    assert KEY not in {entry.key for entry in whole.model.metadata_props}
    assert [cost.rule for cost in partial.report.costs] == ["glu-as-two-convolutions"]
    session = ort.InferenceSession(partial.model.SerializeToString())
    [output] = session.run(None, {session.get_inputs()[0].name: MIX.numpy()})
    np.testing.assert_allclose(output, Gated()(MIX).detach(), atol=1e-5)


def test_the_order_of_what_is_left_is_that_of_the_whole() -> None:
    names = [rule.name for rule in default]
    for rule in default:
        if rule.stage.label in ("rewrite", "surgery", "store"):
            kept = [other.name for other in default.until(rule.name)]
            assert kept == names[: names.index(rule.name) + 1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("stft-as-matmul", "stft-as-matmul is a decompose rule, and there is no graph before the rewrites"),
        ("glu-as-two", "did you mean glu-as-two-convolutions?"),
    ],
)
def test_there_must_be_such_a_rule_and_a_graph(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("?", ".")):
        compile(Gated(), example_input=MIX, stop_after=name)

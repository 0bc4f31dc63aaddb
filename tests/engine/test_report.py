"""The account of a compile."""

import itertools
import json
import math
import re
from dataclasses import asdict, replace

import pytest

from onnx_demucs_compiler import CompiledModel, CompilerError
from onnx_demucs_compiler.errors import InternalError
from onnx_demucs_compiler.report import Recorder, Report
from onnx_demucs_compiler.rules.ruleset import bundled
from onnx_demucs_compiler.tracing.source import Origin


@pytest.fixture
def report(compiled: CompiledModel) -> Report:
    return compiled.report


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def test_json_holds_all_of_it(report: Report) -> None:
    read = json.loads(report.to_json(), parse_constant=refuse_constant)
    assert set(read) == set(asdict(report))
    assert read["model"] == "HTDemucs"
    assert read["events"] == [asdict(event) for event in report.events]
    assert read["costs"] == [asdict(cost) for cost in report.costs]
    assert read["operators"] == report.operators
    assert read["options"] == {
        **report.options,
        "sources": list(report.options["sources"]),
        "keep": list(report.options["keep"]),
    }


def test_numbers_that_json_lacks_are_null(report: Report) -> None:
    odd = [replace(report.fidelity[0], snr_db=value) for value in (math.inf, -math.inf, math.nan, 5.0)]
    read = json.loads(replace(report, fidelity=tuple(odd)).to_json(), parse_constant=refuse_constant)
    assert [item["snr_db"] for item in read["fidelity"]] == [None, None, None, 5.0]


def test_every_rule_of_the_target_is_accounted_for(report: Report) -> None:
    assert len(report.costs) == len({cost.rule for cost in report.costs})
    for cost in report.costs:
        events = [event for event in report.events if event.rule == cost.rule]
        assert cost.fires == sum(event.fired for event in events)
        assert cost.refusals == sum(not event.fired for event in events)
        assert {event.stage for event in events} <= {cost.stage}
        assert cost.seconds >= 0


def test_every_rule_on_onnx_tells_the_graph_before_it(report: Report) -> None:
    stages = {cost.stage: cost for cost in report.costs}
    assert stages["decompose"].nodes_before is None
    on_onnx = [cost for cost in report.costs if cost.stage in ("rewrite", "surgery")]
    for cost, after in itertools.pairwise(on_onnx):
        if cost.stage == after.stage:
            assert (cost.nodes_before or 0) + cost.nodes == after.nodes_before
            assert (cost.bytes_before or 0) + cost.bytes == after.bytes_before
    assert (on_onnx[-1].nodes_before or 0) + on_onnx[-1].nodes == report.nodes


def test_all_initializers_are_some_operators(compiled: CompiledModel) -> None:
    taken = sum(len(each.raw_data) for each in compiled.model.graph.initializer)
    assert sum(compiled.report.operator_bytes.values()) == taken
    assert set(compiled.report.operator_bytes) <= set(compiled.report.operators)


def test_the_report_has_no_path_of_this_machine(report: Report) -> None:
    assert "site-packages" not in report.to_json()
    assert {event.source.partition(":")[0] for event in report.events if event.source} <= {
        "demucs.py", "hdemucs.py", "htdemucs.py", "spec.py", "states.py", "transformer.py",
    }  # fmt: skip


def test_firings_on_a_graph_have_their_node_source_and_module(report: Report) -> None:
    fired = {(event.rule, event.module): event for event in report.events if event.fired}
    gate = fired["glu-as-two-convolutions", "encoder.0"]
    assert (gate.stage, gate.source.rpartition(": ")[2]) == ("rewrite", "z = F.glu(z, dim=1)")
    for event in fired.values():
        if event.stage == "rewrite":
            assert event.node
            assert re.fullmatch(r"\w+\.py:\d+: .+", event.source)
    assert "graph" not in {event.node for event in report.events if event.rule == "dedupe-initializers"}


def test_who_has_nothing_to_look_at_says_nothing(report: Report) -> None:
    """An HTDemucs is no Demucs v3, and no option asks for stems or a track."""
    refused = {event.rule for event in report.events if not event.fired}
    assert not refused & {
        "local-attention-as-matmul", "frames-by-halves", "mask-without-atan2", "select-stems",
        "select-before-concat", "select-early", "drop-zero-state", "recurrent-weights-as-stored",
        "track-in-one-call",
    }  # fmt: skip


def test_steps_are_timed_even_when_they_fail() -> None:
    recorder = Recorder()
    with pytest.raises(CompilerError, match="no trace today"), recorder.step("trace"):
        raise CompilerError("no trace today")
    assert set(recorder.seconds) == {"trace"}


def test_a_step_raises_nothing_but_our_own_errors() -> None:
    recorder = Recorder()
    with pytest.raises(InternalError) as raised, recorder.step("trace"):
        raise IndexError("no seventh")
    assert re.sub(r"\d+", "LINE", str(raised.value)) == (
        "the step trace fails with IndexError (no seventh; raised at test_report.py:LINE: "
        'raise IndexError("no seventh")), which is a fault of this compiler or of what it calls: '
        "report it, with the module if you can"
    )
    assert isinstance(raised.value.__cause__, IndexError)
    with pytest.raises(KeyboardInterrupt), recorder.step("trace"):
        raise KeyboardInterrupt


def test_what_is_told_of_a_step_may_raise_as_it_likes() -> None:
    def stop(_: str) -> None:
        raise LookupError

    with pytest.raises(LookupError), Recorder(stop).step("trace"):
        pass


def test_a_rule_never_heard_of_has_not_fired() -> None:
    recorder = Recorder()
    [rule, *_] = bundled()
    assert recorder.fires(rule.name) == 0
    recorder.fired(rule, Origin("node"))
    recorder.refused(rule, Origin("node"), "reason")
    assert (recorder.fires(rule.name), recorder.costs[rule.name].refusals) == (1, 1)

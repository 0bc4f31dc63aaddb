"""The account of a compile."""

import json
import math
from dataclasses import asdict, replace

import pytest

from onnx_demucs_compiler import CompiledModel
from onnx_demucs_compiler.report import Recorder, Report
from onnx_demucs_compiler.ruleset import bundled


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


def test_the_report_has_no_path_of_this_machine(report: Report) -> None:
    assert "site-packages" not in report.to_json()
    assert {event.source.partition(":")[0] for event in report.events if event.source} <= {
        "demucs.py", "hdemucs.py", "htdemucs.py", "spec.py", "states.py", "transformer.py",
    }  # fmt: skip


def test_steps_are_timed_even_when_they_fail() -> None:
    recorder = Recorder()
    with pytest.raises(ZeroDivisionError), recorder.step("trace"):
        raise ZeroDivisionError
    assert set(recorder.seconds) == {"trace"}


def test_a_rule_never_heard_of_has_not_fired() -> None:
    recorder = Recorder()
    [rule, *_] = bundled()
    assert recorder.fires(rule.name) == 0
    recorder.fired(rule, "node")
    recorder.refused(rule, "node", "reason")
    assert (recorder.fires(rule.name), recorder.costs[rule.name].refusals) == (1, 1)

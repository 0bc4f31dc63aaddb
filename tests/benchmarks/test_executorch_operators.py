"""``benchmarks/formats/executorch_operators.py``: what ExecuTorch's event tracer tells, by operator."""

from types import SimpleNamespace

from executorch_operators import by_operator


def event(name: str, *raw: float, delegated: bool = False) -> SimpleNamespace:
    """One as ExecuTorch's Inspector gives it, with milliseconds of each run."""
    return SimpleNamespace(name=name, is_delegated_op=delegated, perf_data=SimpleNamespace(raw=list(raw)))


def test_operators_of_xnnpack_and_of_executorch_by_their_least_times() -> None:
    events = [
        event("Transpose (ND, X32) #1", 3.0, 2.0, delegated=True),
        event("Transpose (ND, X32) #2", 4.0, 4.5, delegated=True),
        event("native_call_expand_copy.out", 5.0, 7.0),
        event("OPERATOR_CALL", 5.0, 7.0),
        event("DELEGATE_CALL", 8.0, 8.0),
        event("Method::init", 100.0),
        event("Method::execute", 20.0, 15.0),
    ]
    assert by_operator(events) == {"all": 15.0, "Transpose (ND, X32)": 6.0, "expand_copy.out": 5.0}

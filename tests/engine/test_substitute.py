"""Python that stands in for other Python, for the time of the trace."""

import types
from collections.abc import Iterator

import pytest
from engine_examples import make_rule
from torch import nn

from onnx_demucs_compiler.errors import InternalError
from onnx_demucs_compiler.report import Recorder
from onnx_demucs_compiler.rules import Patch, Refusal, Rule, Stage
from onnx_demucs_compiler.stages.substitute import substituted


def patching(name: str, *patches: Patch) -> Rule:
    return make_rule(name, Stage.SUBSTITUTE, implementation=lambda module: list(patches))


@pytest.fixture
def library() -> types.ModuleType:
    module = types.ModuleType("library")
    module.depth = 1  # type: ignore[attr-defined]
    return module


def test_patched_inside_and_put_back_after(library: types.ModuleType) -> None:
    recorder = Recorder()
    with substituted(nn.ReLU(), [patching("deeper", Patch(library, "depth", 2))], recorder):
        assert library.depth == 2
    assert library.depth == 1
    [event] = recorder.events
    assert (event.rule, event.node, event.fired) == ("deeper", "library.depth", True)


def test_put_back_after_an_exception(library: types.ModuleType) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        substituted(nn.ReLU(), [patching("deeper", Patch(library, "depth", 2))], Recorder()),
    ):
        raise KeyboardInterrupt
    assert library.depth == 1


def test_put_back_when_a_later_rule_fails(library: types.ModuleType) -> None:
    def failing(module: nn.Module) -> Iterator[Patch]:
        yield Patch(library, "depth", 3)
        raise ZeroDivisionError

    rules = [
        patching("deeper", Patch(library, "depth", 2)),
        make_rule("fails", Stage.SUBSTITUTE, implementation=failing),
    ]
    with (
        pytest.raises(InternalError, match="rule fails fails: ZeroDivisionError"),
        substituted(nn.ReLU(), rules, Recorder()),
    ):
        pass
    assert library.depth == 1


def test_two_rules_on_one_attribute_are_undone_last_first(library: types.ModuleType) -> None:
    rules = [patching("one", Patch(library, "depth", 2)), patching("two", Patch(library, "depth", 3))]
    with substituted(nn.ReLU(), rules, Recorder()):
        assert library.depth == 3
    assert library.depth == 1


def test_what_was_inherited_is_inherited_again() -> None:
    class Base:
        depth = 1

    class Heir(Base):
        pass

    module = nn.Linear(1, 1)
    patches = [Patch(Heir, "depth", 2), Patch(module, "extra_repr", lambda: "patched")]
    with substituted(module, [patching("deeper", *patches)], Recorder()):
        assert Heir.depth == 2
        assert module.extra_repr() == "patched"
    assert "depth" not in vars(Heir)
    assert "extra_repr" not in vars(module)
    Base.depth = 5
    assert Heir.depth == 5


def test_a_static_method_stays_static() -> None:
    class Library:
        @staticmethod
        def answer() -> int:
            return 42

    with substituted(nn.ReLU(), [patching("other", Patch(Library, "answer", lambda *_: 43))], Recorder()):
        assert Library().answer() == 43
    assert Library().answer() == 42


def test_a_submodule_is_put_back_as_a_submodule() -> None:
    module = nn.Sequential(nn.ReLU())
    original = module[0]
    with substituted(module, [patching("other", Patch(module, "0", nn.Tanh()))], Recorder()):
        assert isinstance(module[0], nn.Tanh)
    assert list(module.children()) == [original]
    assert "0" not in vars(module)


def test_a_refusal_is_recorded_and_patches_nothing() -> None:
    refusing = make_rule("refuses", Stage.SUBSTITUTE, implementation=lambda module: Refusal("not this one"))
    recorder = Recorder()
    with substituted(nn.ReLU(), [refusing], recorder):
        pass
    [event] = recorder.events
    assert (event.node, event.reason, recorder.fires("refuses")) == ("ReLU", "not this one", 0)

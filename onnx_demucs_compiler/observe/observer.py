"""Who is shown the program and the graph between two rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnx_demucs_compiler.tracing.quiet import aloud

if TYPE_CHECKING:
    import onnx_ir as ir
    from torch.export import ExportedProgram

    from onnx_demucs_compiler.rules.rule import Rule, Stage


@dataclass(frozen=True)
class Moment:
    """A point between two rules, or two stages, of a compile.

    Attributes:
        stage: the stage it is in.
        place: of the rule in its stage's order, from 1; what precedes the stage's rules has 0.
        name: the rule that has just fired, or what else was done: ``trace``, ``decompose``, ``translate``;
            ``tidy`` before the rewrites and ``merge`` after them.
        rule: the rule, ``None`` for what is none.
        fires: how often it fired.
    """

    stage: Stage
    place: int
    name: str
    rule: Rule | None = None
    fires: int = 0

    def __str__(self) -> str:
        """A name that sorts by time: ``404-glu-as-two-convolutions``."""
        return f"{self.stage:d}{self.place:02d}-{self.name}"


class Observer:
    """A passive observer, whose subclasses override what they want to see."""

    def program(self, moment: Moment, program: ExportedProgram) -> None:
        """Called with the program after the trace and after DECOMPOSE."""

    def model(self, moment: Moment, model: ir.Model) -> None:
        """Receive the graph after TRANSLATE, and after every later rule that fired.

        The next rule changes it in place: ``model.clone()`` keeps it, and shares its weights.
        """


class Observers(Observer):
    """Several as one, free to print though the tools are not."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def program(self, moment: Moment, program: ExportedProgram) -> None:
        """Show all of them."""
        with aloud():
            for observer in self._observers:
                observer.program(moment, program)

    def model(self, moment: Moment, model: ir.Model) -> None:
        """Show all of them."""
        with aloud():
            for observer in self._observers:
                observer.model(moment, model)

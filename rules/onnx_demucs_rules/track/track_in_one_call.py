"""A graph of one segment → a graph of a track of any length, with the segment's graph as a loop's body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from onnx_ir.tape import Tape
from torch import nn

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.rule import Case, Numerics, Refusal, graph_pass
from onnx_demucs_compiler.runtime.segments import stride_of
from onnx_demucs_compiler.runtime.statistics import SILENCE
from onnx_demucs_compiler.stages.decompose import RULE_KEY
from onnx_demucs_compiler.stages.surgery import rule_of
from onnx_demucs_rules.track.examples import Separator

if TYPE_CHECKING:
    from onnx_demucs_compiler.options import Options

NAME = "track-in-one-call"
ROW = 4096
"""Samples summed at a time: sums of sums keep the precision that one long float32 sum loses."""

SHAPE = ((1, 2, 64),)


@graph_pass(
    name=NAME,
    why="Every client cuts a track into segments, normalises, weighs and adds them up again, and each does "
    "it a little differently; inside the graph it is done once, as demucs does it.",
    numerics=Numerics(min_snr_db=120),
    tags={"track"},
    after=["chosen-stems", "lighter-branch-first", "select-early", "select-pieces", "waveform-interface"],
    cases=[
        Case("a-track", Separator, SHAPE, options={"track": True}, ops={"Scan": 1, "Conv": 1}),
        Case("half-overlap", Separator, SHAPE, options={"track": True, "overlap": 0.5}, ops={"Scan": 1}),
        Case("no-overlap", Separator, SHAPE, options={"track": True, "overlap": 0.0}, ops={"Scan": 1}),
        Case("odd-segment", Separator, ((1, 2, 63),), options={"track": True}, ops={"Scan": 1}),
        Case("one-stem", Separator, SHAPE, options={"track": True, "stems": ("bass",)}, ops={"Scan": 1},
             beside=("chosen-stems",)),
        Case("the-others-added", Separator, SHAPE, options={"track": True, "two_stems": "bass"},
             ops={"Scan": 1}, beside=("chosen-stems",)),
        Case("the-mix-minus", Separator, SHAPE, ops={"Scan": 1}, beside=("chosen-stems",),
             options={"track": True, "two_stems": "bass", "other_method": "minus"}),
        Case("no-separator", lambda: nn.Linear(4, 4), ((1, 4),), options={"track": True}, fires=0,
             because="track needs a model of"),
        Case("a-segment", Separator, SHAPE, fires=0, because="takes one segment"),
    ],
)  # fmt: skip
def track_in_one_call(model: ir.Model, options: Options) -> int | Refusal:
    """``[1, C, N]`` to ``[1, S, C, N]`` → ``[C, samples]`` to ``[S, C, samples]``.

    The ``Scan`` runs over the segments' first samples. It carries the weighted sum of the segments so far
    from the first sample that the next one touches, and gives out what no later segment touches.
    """
    if not options.track:
        return Refusal("the graph takes one segment")
    if any(node.op_type == "Scan" and rule_of(node) == NAME for node in model.graph):
        return 0
    _Track(model, options).wrap()
    return 1


class _Track:
    """The graph of a track, around the graph of a segment."""

    def __init__(self, model: ir.Model, options: Options) -> None:
        self.graph, self.options = model.graph, options
        self.window, self.estimate = model.graph.inputs[0], model.graph.outputs[0]
        sizes = [_sizes(value) for value in (*model.graph.inputs, *model.graph.outputs)]
        _, self.sources, self.channels, self.segment = sizes[-1] if len(sizes[-1]) == 4 else (0, 0, 0, 0)
        if sizes != [[1, self.channels, self.segment], [1, self.sources, self.channels, self.segment]]:
            raise UsageError(
                "track needs a model of [1, channels, samples] to [1, stems, channels, samples]; "
                f"this one has {' and '.join(map(str, sizes))}"
            )
        self._stems = (self.sources, self.channels, self.segment)
        self.stride = stride_of(self.segment, options.overlap)

    def wrap(self) -> None:
        """Put the track's graph in the place of the segment's."""
        inside = list(self.graph)
        self.graph.remove(inside)
        self.mix = _value(self.window.name, self.channels, "samples")
        stems = _value(self.estimate.name, self.sources, self.channels, "samples")
        self.graph.inputs[:], self.graph.outputs[:] = [self.mix], [stems]
        self.window.name, self.estimate.name = "window", "estimate"
        tape = Tape()
        self.samples = tape.op("Shape", [self.mix], {"start": 1})
        self.mean, self.scale = self._statistics(tape)
        self._segments(tape, inside, stems)
        self.graph.extend(_signed(tape, "track"))

    def _statistics(self, tape: Tape) -> tuple[ir.Value, ir.Value]:
        """Mean and deviation of the mono mix-down, as ``demucs.api.Separator`` takes them."""
        op = tape.op
        count, one = op("Cast", [self.samples], {"to": ir.DataType.FLOAT}), self._floats("one", [1.0])
        mono = op("ReduceMean", [self.mix, self._ints(0)], {"keepdims": 0})
        mean = op("Div", [self._sum(tape, mono), count])
        centred = op("Sub", [mono, mean])
        squares = self._sum(tape, op("Mul", [centred, centred]))
        variance = op("Div", [squares, op("Max", [op("Sub", [count, one]), one])])
        return mean, op("Add", [op("Sqrt", [variance]), self._floats("silence", [SILENCE])])

    def _sum(self, tape: Tape, values: ir.Value) -> ir.Value:
        op = tape.op
        missing = op("Mod", [op("Neg", [self.samples]), self._ints(ROW)])
        filled = op("Pad", [values, op("Concat", [self._ints(0), missing], {"axis": 0})])
        rows = op("Reshape", [filled, self._ints(-1, ROW)])
        sums = op("ReduceSum", [rows, self._ints(1)], {"keepdims": 0})
        return op("ReduceSum", [sums, self._ints(0)])

    def _segments(self, tape: Tape, inside: list[ir.Node], stems: ir.Value) -> None:
        op = tape.op
        normalised = op("Div", [op("Sub", [self.mix, self.mean]), self.scale])
        # A window starts half a segment before the track at the earliest, and ends as far behind it.
        before, after = self.segment // 2, self.segment - self.segment // 2
        padded = op("Pad", [normalised, self._ints(0, before, 0, after)])
        self.triangle = self._triangle(tape)
        starts = op("Range", [self._int(0), op("Squeeze", [self.samples]), self._int(self.stride)])
        nothing = [
            op("ConstantOfShape", [shape]) for shape in (self._ints(*self._stems), self._ints(self.segment))
        ]
        _, _, settled = tape.op_multi_out(
            "Scan",
            [*nothing, starts],
            {"body": self._body(inside, padded), "num_scan_inputs": 1},
            num_outputs=3,
        )
        in_order = op("Transpose", [settled], {"perm": [1, 2, 0, 3]})
        joined = op("Reshape", [in_order, self._ints(self.sources, self.channels, -1)])
        op("Slice", [joined, self._ints(0), self.samples, self._ints(2)], output=stems)

    def _triangle(self, tape: Tape) -> ir.Value:
        """The weight of each sample of a segment, as in ``demucs.apply.apply_model``."""
        op = tape.op
        rising = op("Range", [self._int(1), self._int(self.segment + 1), self._int(1)])
        falling = op("Sub", [self._ints(self.segment + 1), rising])
        height = self._floats("height", [self.segment - self.segment // 2])
        return op("Div", [op("Cast", [op("Min", [rising, falling])], {"to": ir.DataType.FLOAT}), height])

    def _body(self, inside: list[ir.Node], padded: ir.Value) -> ir.Graph:
        total = _value("total", *self._stems)
        weights = _value("weights", self.segment)
        start = ir.Value(name="start", type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape([]))
        head = Tape()
        op = head.op
        first, size = op("Unsqueeze", [start, self._ints(0)]), self._ints(self.segment)
        length = op("Min", [op("Sub", [self.samples, first]), size])
        missing = op("Sub", [size, length])
        left = op("Div", [missing, self._ints(2)])
        begin = op("Add", [op("Sub", [first, left]), self._ints(self.segment // 2)])
        window = op("Slice", [padded, begin, op("Add", [begin, size]), self._ints(1)])
        op("Reshape", [window, self._ints(1, self.channels, self.segment)], output=self.window)
        tail = Tape()
        op = tail.op
        kept = op("Slice", [self.estimate, left, op("Add", [left, length]), self._ints(3)])
        weight = op("Slice", [self.triangle, self._ints(0), length])
        weighted = op("Mul", [op("Squeeze", [kept, self._ints(0)]), weight])
        total_now = op("Add", [total, self._filled(tail, weighted, missing, total)])
        weights_now = op("Add", [weights, self._filled(tail, weight, missing, weights)])
        settled = self._settled(tail, total_now, weights_now)
        return ir.Graph(
            [total, weights, start],
            [self._moved_on(tail, total_now, total), self._moved_on(tail, weights_now, weights), settled],
            nodes=[*_signed(head, "before"), *inside, *_signed(tail, "after")],
            name="segment",
        )

    def _filled(self, tape: Tape, values: ir.Value, missing: ir.Value, like: ir.Value) -> ir.Value:
        """Values shorter than a segment, brought to the shape of one with zeros."""
        assert like.shape is not None
        pads = tape.op("Concat", [self._ints(*[0] * (2 * len(like.shape) - 1)), missing], {"axis": 0})
        return tape.op("Reshape", [tape.op("Pad", [values, pads]), self._ints(*like.shape.numpy())])

    def _moved_on(self, tape: Tape, values: ir.Value, like: ir.Value) -> ir.Value:
        """What is left when the settled samples are gone, with room for the next segment."""
        assert like.shape is not None
        axis = len(like.shape) - 1
        rest = tape.op("Slice", [values, self._ints(self.stride), self._ints(self.segment), self._ints(axis)])
        moved = tape.op("Pad", [rest, self._ints(*[0] * (2 * axis + 1), self.stride)])
        moved.shape, moved.type = like.shape, like.type
        return moved

    def _settled(self, tape: Tape, total: ir.Value, weights: ir.Value) -> ir.Value:
        """What no later segment touches, at the track's own level."""
        op = tape.op
        zero, stride = self._ints(0), self._ints(self.stride)
        # Behind the track's end nothing has a weight, and what is there is cut off later.
        least = self._floats("least_weight", [1 / (self.segment - self.segment // 2)])
        divisor = op("Max", [op("Slice", [weights, zero, stride]), least])
        mean = op("Div", [op("Slice", [total, zero, stride, self._ints(2)]), divisor])
        level = op("Mul", [self.mean, self._floats("means", self._means())])
        settled = op("Add", [op("Mul", [mean, self.scale]), level])
        settled.shape = ir.Shape([self.sources, self.channels, self.stride])
        settled.type = total.type
        return settled

    def _means(self) -> np.ndarray:
        """How many means of the track a stem has.

        A source has one, the mix less a source none, and sources added up have one each.
        """
        counts = np.ones((self.sources, 1, 1), np.float32)
        if self.options.two_stems is not None:
            counts[1] = 0 if self.options.other_method == "minus" else len(self.options.sources) - 1
        return counts

    def _int(self, number: int) -> ir.Value:
        return self._constant(f"track_scalar_{number}", np.array(number, np.int64))

    def _ints(self, *numbers: int) -> ir.Value:
        return self._constant(f"track_{'_'.join(map(str, numbers))}", np.array(numbers, np.int64))

    def _floats(self, name: str, values: Any) -> ir.Value:
        return self._constant(f"track_{name}", np.asarray(values, np.float32))

    def _constant(self, name: str, array: np.ndarray) -> ir.Value:
        initializers = self.graph.initializers
        if name not in initializers:
            self.graph.register_initializer(ir.Value(name=name, const_value=ir.tensor(array, name=name)))
        return initializers[name]


def _sizes(value: ir.Value) -> list[int]:
    return [size if isinstance(size, int) else 0 for size in value.shape or ()]


def _value(name: str | None, *shape: int | str) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(shape))


def _signed(tape: Tape, where: str) -> list[ir.Node]:
    """The nodes with the rule's name, their values named apart from the segment's."""
    for index, node in enumerate(tape.nodes):
        node.metadata_props[RULE_KEY] = NAME
        for number, value in enumerate(node.outputs):
            value.name = value.name or f"{where}_{index}_{number}"
    return list(tape.nodes)

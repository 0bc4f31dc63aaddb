"""A graph of one segment → a graph of a track of any length, with the segment's graph as a loop's body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from onnx_ir.tape import Tape
from torch import nn

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.rules import Case, NotMine, Numerics, graph_pass
from onnx_demucs_compiler.runtime.segments import stride_of
from onnx_demucs_compiler.runtime.statistics import SILENCE
from onnx_demucs_compiler.stages.surgery import rule_of
from onnx_demucs_rules.track.examples import Separator

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnx_demucs_compiler.options import Options
    from onnx_demucs_compiler.rules import GraphSite

NAME = "track-in-one-call"
ROW = 4096
"""Samples summed at a time: sums of sums keep the precision that one long float32 sum loses."""

SAMPLES = "samples"
"""The open size of a graph's input."""

SHAPE = ((1, 2, 64),)


def decide(site: GraphSite) -> Track | NotMine:
    """The graph of a segment, where a track is asked for.

    Raises:
        UsageError: it is not of that shape.
    """
    done = any(node.op_type == "Loop" and rule_of(node) == NAME for node in site.graph)
    return NotMine() if done or not site.options.track else Track(site.graph, site.options)


@graph_pass(
    decide=decide,
    name=NAME,
    why="Every client cuts a track into segments, normalises, weighs and adds them up again, and each does "
    "it a little differently; inside the graph it is done once, as demucs does it.",
    numerics=Numerics(min_snr_db=120),
    tags={"track"},
    after=["*"],
    cases=[
        Case("a-track", Separator, SHAPE, options={"track": True}, ops={"Loop": 1, "Conv": 1}),
        Case("half-overlap", Separator, SHAPE, options={"track": True, "overlap": 0.5}, ops={"Loop": 1}),
        Case("no-overlap", Separator, SHAPE, options={"track": True, "overlap": 0.0}, ops={"Loop": 1}),
        Case("odd-segment", Separator, ((1, 2, 63),), options={"track": True}, ops={"Loop": 1}),
        Case("one-stem", Separator, SHAPE, options={"track": True, "stems": ("bass",)}, ops={"Loop": 1},
             beside=("select-stems",)),
        Case("the-others-added", Separator, SHAPE, options={"track": True, "two_stems": "bass"},
             ops={"Loop": 1}, beside=("select-stems",)),
        Case("the-mix-minus", Separator, SHAPE, ops={"Loop": 1}, beside=("select-stems",),
             options={"track": True, "two_stems": "bass", "other_method": "minus"}),
        Case("no-separator", lambda: nn.Linear(4, 4), ((1, 4),), options={"track": True}, fires=0,
             because="track needs a model of"),
        Case("a-segment", Separator, SHAPE, fires=0),
    ],
)  # fmt: skip
def track_in_one_call(_: GraphSite, track: Track) -> None:
    """``[1, C, N]`` to ``[1, S, C, N]`` → ``[C, samples]`` to ``[S, C, samples]``.

    The ``Loop`` runs over the segments. It carries the weighted sum of the segments so far from the first
    sample that the next one touches, and gives out what no later segment touches. It is no ``Scan``, since
    OpenVINO takes none whose body reads what is computed outside; nor is there a ``Pad`` by computed sizes,
    which tract lacks, but zeros, a ``Concat`` and a ``Slice``.
    """
    track.wrap()


class Track:
    """The graph of a track, around the graph of a segment."""

    def __init__(self, graph: ir.Graph, options: Options) -> None:
        self.graph, self.options = graph, options
        self.window, self.estimate = graph.inputs[0], graph.outputs[0]
        sizes = [_sizes(value) for value in (*graph.inputs, *graph.outputs)]
        _, self.sources, self.channels, taken = sizes[-1] if len(sizes[-1]) == 4 else (0, 0, 0, 0)
        self.segment = taken if options.context is None else options.segment
        if sizes != [[1, self.channels, taken], [1, self.sources, self.channels, taken]]:
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
        self.mix = _value(self.window.name, self.channels, SAMPLES)
        stems = _value(self.estimate.name, self.sources, self.channels, SAMPLES)
        self.graph.inputs[:], self.graph.outputs[:] = [self.mix], [stems]
        self.window.name, self.estimate.name = "window", "estimate"
        _rename_size([self.window, *(value for node in inside for value in node.outputs)])
        tape = Tape()
        self.samples = tape.op("Shape", [self.mix], {"start": 1})
        self.mean, self.scale = self._statistics(tape)
        self._segments(tape, inside, stems)
        self.graph.extend(_named(tape, "track"))

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
        rows = op("Div", [op("Add", [self.samples, self._ints(ROW - 1)]), self._ints(ROW)])
        filled = op("Concat", [values, self._zeros(tape, ROW)], {"axis": 0})
        whole = op("Slice", [filled, self._ints(0), op("Mul", [rows, self._ints(ROW)])])
        sums = op("ReduceSum", [op("Reshape", [whole, self._ints(-1, ROW)]), self._ints(1)], {"keepdims": 0})
        return op("ReduceSum", [sums, self._ints(0)])

    def _segments(self, tape: Tape, inside: list[ir.Node], stems: ir.Value) -> None:
        op = tape.op
        # 1, 2, … for the samples of a segment.
        self.counted = op("Range", [self._int(1), self._int(self.segment + 1), self._int(1)])
        self.triangle = self._triangle(tape)
        rounded_up = op("Add", [op("Squeeze", [self.samples]), self._int(self.stride - 1)])
        count = op("Div", [rounded_up, self._int(self.stride)])
        nothing = [self._zeros(tape, *self._stems), self._zeros(tape, self.segment)]
        true = self._constant("track_true", np.array(True))
        _, _, settled = tape.op_multi_out(
            "Loop", [count, true, *nothing], {"body": self._body(inside)}, num_outputs=3
        )
        in_order = op("Transpose", [settled], {"perm": [1, 2, 0, 3]})
        joined = op("Reshape", [in_order, self._ints(self.sources, self.channels, -1)])
        op("Slice", [joined, self._ints(0), self.samples, self._ints(2)], output=stems)

    def _triangle(self, tape: Tape) -> ir.Value:
        """The weight of each sample of a segment, as in ``demucs.apply.apply_model``."""
        op = tape.op
        falling = op("Sub", [self._ints(self.segment + 1), self.counted])
        height = self._floats("height", [self.segment - self.segment // 2])
        return op(
            "Div", [op("Cast", [op("Min", [self.counted, falling])], {"to": ir.DataType.FLOAT}), height]
        )

    def _body(self, inside: list[ir.Node]) -> ir.Graph:
        total = _value("total", *self._stems)
        weights = _value("weights", self.segment)
        number = ir.Value(name="number", type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape([]))
        before = ir.Value(name="condition", type=ir.TensorType(ir.DataType.BOOL), shape=ir.Shape([]))
        head = Tape()
        op = head.op
        first = op("Mul", [op("Unsqueeze", [number, self._ints(0)]), self._ints(self.stride)])
        length = op("Min", [op("Sub", [self.samples, first]), self._ints(self.segment)])
        missing = op("Sub", [self._ints(self.segment), length])
        if self.options.context is None:
            left, taken = op("Div", [missing, self._ints(2)]), self._ints(self.segment)
        else:
            left = self._ints(self.options.context)
            taken = op("Add", [length, self._ints(2 * self.options.context)])
        self._cut_window(head, op("Sub", [first, left]), taken)
        tail = Tape()
        op = tail.op
        inside_track = op("Cast", [op("LessOrEqual", [self.counted, length])], {"to": ir.DataType.FLOAT})
        weight = op("Mul", [self.triangle, inside_track])
        behind = self._zeros(tail, 1, self.sources, self.channels, self._most_missing)
        longer = op("Concat", [self.estimate, behind], {"axis": 3})
        kept = op("Slice", [longer, left, op("Add", [left, self._ints(self.segment)]), self._ints(3)])
        weighted = op("Mul", [op("Reshape", [kept, self._ints(*self._stems)]), weight])
        total_now, weights_now = op("Add", [total, weighted]), op("Add", [weights, weight])
        settled = self._settled(tail, total_now, weights_now)
        after = op("Identity", [before])
        after.shape, after.type = before.shape, before.type
        return ir.Graph(
            [number, before, total, weights],
            [
                after,
                self._moved_on(tail, total_now, total),
                self._moved_on(tail, weights_now, weights),
                settled,
            ],
            nodes=[*_named(head, "before"), *inside, *_named(tail, "after")],
            name="segment",
        )

    @property
    def _most_missing(self) -> int:
        """The most samples that a window lacks behind its segment's start."""
        return self.segment - self.segment // 2 if self.options.context is None else self.segment

    def _cut_window(self, tape: Tape, begin: ir.Value, taken: ir.Value) -> None:
        """The normalised track, ``taken`` samples of it from ``begin`` on, between silence."""
        op = tape.op
        start, end = op("Max", [begin, self._ints(0)]), op("Add", [begin, taken])
        heard = op("Slice", [self.mix, start, end, self._ints(1)])
        normalised = op("Div", [op("Sub", [heard, self.mean]), self.scale])
        context = self.options.context
        outside = self.segment - self.segment // 2 if context is None else max(context, 1)
        silence = self._zeros(tape, self.channels, outside)
        padded = op("Concat", [silence, normalised, silence], {"axis": 1})
        begin = op("Add", [op("Sub", [begin, start]), self._ints(outside)])
        window = op("Slice", [padded, begin, op("Add", [begin, taken]), self._ints(1)])
        samples = self.segment if context is None else -1
        op("Reshape", [window, self._ints(1, self.channels, samples)], output=self.window)

    def _moved_on(self, tape: Tape, values: ir.Value, like: ir.Value) -> ir.Value:
        """The unsettled remainder, with room for the next segment."""
        assert like.shape is not None
        axis = len(like.shape) - 1
        moved = self._zeros(tape, *like.shape.numpy()[:-1], self.stride)
        if self.stride < self.segment:
            bounds = self._ints(self.stride), self._ints(self.segment)
            rest = tape.op("Slice", [values, *bounds, self._ints(axis)])
            moved = tape.op("Concat", [rest, moved], {"axis": axis})
        moved.shape, moved.type = like.shape, like.type
        return moved

    def _zeros(self, tape: Tape, *shape: int) -> ir.Value:
        value = ir.tensor(np.zeros(1, np.float32))
        return tape.op("ConstantOfShape", [self._ints(*shape)], {"value": value})

    def _settled(self, tape: Tape, total: ir.Value, weights: ir.Value) -> ir.Value:
        """The samples that no later segment touches, at the track's level."""
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
        """The number of track means in a stem.

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


def _rename_size(values: Iterable[ir.Value]) -> None:
    """Rename a window's open size, which the track's is called too."""
    for value in values:
        if value.shape is not None and any(str(size) == SAMPLES for size in value.shape):
            value.shape = ir.Shape(["window" if str(size) == SAMPLES else size for size in value.shape])


def _sizes(value: ir.Value) -> list[int]:
    return [size if isinstance(size, int) else 0 for size in value.shape or ()]


def _value(name: str | None, *shape: int | str) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(shape))


def _named(tape: Tape, where: str) -> list[ir.Node]:
    """The nodes, with names for their values."""
    for index, node in enumerate(tape.nodes):
        for number, value in enumerate(node.outputs):
            value.name = value.name or f"{where}_{index}_{number}"
    return list(tape.nodes)

"""Winograd's convolution: two and a quarter multiplications in place of nine.

F(4×4, 3×3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015: for each pair
of channels a tile of 4×4 results takes 6×6 products of transformed kernel and transformed input, in place
of 144. The transforms are those of Toom and Cook. Their points decide what float32 loses (Alam, Anderson,
Barabasz and Gregg, "Winograd Convolution for Deep Neural Networks: Efficient Point Selection", 2022).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from onnx_demucs_compiler.rules import NotMine, Refusal
from onnx_demucs_rules.known import shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from onnx_demucs_compiler.rules import NodeSite

TAPS, TILE = 3, 4
WINDOW = TILE + TAPS - 1
"""Samples that a tile of results is made of, in each of two directions."""

POINTS = (0, 5 / 8, -5 / 8, 3 / 2, -3 / 2)
"""Where the polynomials of kernel and input are multiplied, beside infinity.

Of all 0, ±a, ±b in sixteenths these lose least; a test compares them with the usual 0, ±1, ±2.
"""

FEWEST_CHANNELS = 32
"""With fewer the transforms take what the products save."""

BLOCK_BYTES = 16 << 20
"""Of a transformed input: 2¼ times the tensor, which is among the largest of its graph."""


@dataclass(frozen=True)
class Winograd:
    """A convolution that is worth it.

    Attributes:
        channels: of its input.
        kernels: as many channels come out.
        sizes: of its input, along both axes.
        results: of its output, along both axes.
        pads: before the input, along both axes.
    """

    channels: int
    kernels: int
    sizes: tuple[int, int]
    results: tuple[int, int]
    pads: tuple[int, int]

    @property
    def tiles(self) -> tuple[int, int]:
        """Tiles of results along both axes; the last may be cut."""
        rows, columns = (math.ceil(size / TILE) for size in self.results)
        return rows, columns

    def blocks(self) -> list[range]:
        """Rows of tiles, as many at a time as :data:`BLOCK_BYTES` allows."""
        rows, columns = self.tiles
        row_bytes = 4 * self.channels * WINDOW**2 * columns
        count = math.ceil(rows * row_bytes / BLOCK_BYTES)
        step = math.ceil(rows / count)
        return [range(start, min(start + step, rows)) for start in range(0, rows, step)]


def winograd(site: NodeSite, convolution: ir.Node) -> Winograd | Refusal | NotMine:
    """The facts about a convolution of 3×3, where it has enough channels."""
    arguments, attributes = site.arguments(convolution), convolution.attributes
    kernel, image, output = (
        shape_of(value) for value in (arguments["W"], arguments["X"], convolution.outputs[0])
    )
    if kernel[2:] != (TAPS, TAPS) or attributes.get_int("group", 1) != 1:
        return NotMine()
    if any(step != 1 for name in ("strides", "dilations") for step in attributes.get_ints(name, [])):
        return NotMine()
    if attributes.get_string("auto_pad", "NOTSET") != "NOTSET":
        return Refusal("the padding is left to the runtime")
    sizes = [size for size in (*kernel[:2], *image, *output[2:]) if isinstance(size, int)]
    if len(sizes) < 8:
        return Refusal("a size of the image is open")
    kernels, channels, batch, _, *rest = sizes
    if batch != 1:
        return Refusal(f"there are {batch} images")
    if min(channels, kernels) < FEWEST_CHANNELS:
        return Refusal(f"transforms of {min(channels, kernels)} channels take what the products save")
    before = attributes.get_ints("pads", [0, 0, 0, 0])
    return Winograd(channels, kernels, (rest[0], rest[1]), (rest[2], rest[3]), (before[0], before[1]))


def convolved(
    op: Any,
    image: ir.Value,
    filters: Sequence[tuple[ir.Value, ir.Value | None]],
    facts: Winograd,
    combined: Callable[..., ir.Value],
) -> ir.Value:
    """Convolutions of one image, in blocks of rows.

    Args:
        op: makes nodes.
        image: ``[1, C, F, T]``.
        filters: weight and bias of each.
        facts: of all of them.
        combined: makes one value ``[1, M, rows, columns]`` of what they give.
    """
    kernels = [transformed_kernel(op, weight, facts) for weight, _ in filters]
    blocks = []
    for rows in facts.blocks():
        windows = block_of_input(op, image, facts, rows)
        results = (
            block_of_results(op, kernel, windows, bias, facts, rows)
            for kernel, (_, bias) in zip(kernels, filters, strict=True)
        )
        blocks.append(combined(*results))
    return joined(op, blocks, facts)


def block_of_input(op: Any, image: ir.Value, facts: Winograd, rows: range) -> ir.Value:
    """``x [1, C, F, T]`` → the windows of some rows of tiles, transformed: ``[36, C, tiles]``."""
    channels, (height, width), (_, columns) = facts.channels, facts.sizes, facts.tiles
    begin, end = rows.start * TILE - facts.pads[0], rows.stop * TILE + TAPS - 1 - facts.pads[0]
    right = columns * TILE + TAPS - 1 - facts.pads[1] - width
    part = _slice(op, image, {2: (max(begin, 0), min(end, height))}, facts.sizes)
    part = _reshape(op, part, [channels, 1, -1, width])
    kernels = _constant(op, _twice(input_transform()).reshape(-1, 1, WINDOW, WINDOW))
    windows = op.Conv(
        part,
        kernels,
        kernel_shape=[WINDOW, WINDOW],
        strides=[TILE, TILE],
        dilations=[1, 1],
        group=1,
        pads=[max(-begin, 0), facts.pads[1], max(end - height, 0), right],
    )
    windows = _reshape(op, windows, [channels, WINDOW**2, len(rows) * columns])
    transformed: ir.Value = op.Transpose(windows, perm=[1, 0, 2])
    return transformed


def transformed_kernel(op: Any, weight: ir.Value, facts: Winograd) -> ir.Value:
    """``w [M, C, 3, 3]`` → ``[36, M, C]``, which a runtime computes when it loads the file."""
    taps = op.Transpose(_reshape(op, weight, [-1, TAPS**2]), perm=[1, 0])
    product = op.MatMul(_constant(op, _twice(kernel_transform())), taps)
    return _reshape(op, product, [WINDOW**2, facts.kernels, facts.channels])


def block_of_results(
    op: Any, kernel: ir.Value, block: ir.Value, bias: ir.Value | None, facts: Winograd, rows: range
) -> ir.Value:
    """Transformed kernel and windows → rows of results ``[1, M, rows, columns]``, the last tiles whole."""
    columns = facts.tiles[1]
    products = _reshape(op, op.MatMul(kernel, block), [WINDOW**2, -1])
    tiles = op.MatMul(_constant(op, _twice(output_transform())), products)
    tiles = _reshape(op, tiles, [TILE, TILE, facts.kernels, len(rows), columns])
    image = _reshape(
        op, op.Transpose(tiles, perm=[2, 3, 0, 4, 1]), [1, facts.kernels, len(rows) * TILE, columns * TILE]
    )
    if bias is None:
        return image
    shifted: ir.Value = op.Add(image, _reshape(op, bias, [facts.kernels, 1, 1]))
    return shifted


def joined(op: Any, blocks: Sequence[ir.Value], facts: Winograd) -> ir.Value:
    """All rows of results, without what the last tiles have too much."""
    whole = op.Concat(*blocks, axis=2) if len(blocks) > 1 else blocks[0]
    made = tuple(count * TILE for count in facts.tiles)
    return _slice(op, whole, {2 + axis: (0, size) for axis, size in enumerate(facts.results)}, made)


def input_transform() -> NDArray[np.float64]:
    """``Bᵀ [6, 6]``: the transposed inverse of the values of polynomials at the points."""
    inverse: NDArray[np.float64] = np.linalg.inv(_values(WINDOW)).astype(np.float64)
    return inverse.T


def kernel_transform() -> NDArray[np.float64]:
    """``G [6, 3]``: the values of the kernel's polynomial at the points."""
    return _values(TAPS)


def output_transform() -> NDArray[np.float64]:
    """``Aᵀ [4, 6]``."""
    return _values(TILE).T


def _values(coefficients: int) -> NDArray[np.float64]:
    """Powers of the points; at infinity the highest coefficient counts alone."""
    infinity = np.eye(coefficients)[-1:]
    return np.concatenate([np.vander(POINTS, coefficients, increasing=True), infinity])


def _twice(transform: NDArray[np.float64]) -> NDArray[np.float32]:
    """Along both axes at once."""
    return np.kron(transform, transform).astype(np.float32)


def _constant(op: Any, array: NDArray[np.float32]) -> ir.Value:
    value: ir.Value = op.Constant(value=ir.tensor(array))
    return value


def _reshape(op: Any, value: ir.Value, shape: Sequence[int]) -> ir.Value:
    reshaped: ir.Value = op.Reshape(value, op.Constant(value_ints=list(shape)))
    return reshaped


def _slice(op: Any, value: ir.Value, ranges: dict[int, tuple[int, int]], sizes: tuple[int, ...]) -> ir.Value:
    """Some of a value's rows and columns; itself where that is all."""
    cut = {axis: ends for axis, ends in ranges.items() if ends != (0, sizes[axis - 2])}
    if not cut:
        return value
    starts, stops = zip(*cut.values(), strict=True)
    numbers = (op.Constant(value_ints=list(each)) for each in (starts, stops, cut))
    part: ir.Value = op.Slice(value, *numbers)
    return part

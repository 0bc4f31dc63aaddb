"""Complex tensors as two real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.utils._pytree as pytree

from onnx_demucs_compiler.rules import Case, ComplexPair, Numerics, decompose
from onnx_demucs_rules.spectral import complex_examples as examples
from onnx_demucs_rules.spectral import halves_together
from onnx_demucs_rules.spectral.complex_parts import is_complex, pair, parts, times

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from onnx_demucs_compiler.rules import Site
    from onnx_demucs_rules.spectral.complex_parts import Operand

aten = torch.ops.aten


def _halfwise(site: Site, *args: Any, **kwargs: Any) -> Any:
    """Lower a linear operator: ``op(a + bi) = op(a) + op(b)·i``."""
    real = _on_half(site, "real", args, kwargs)
    imag = _on_half(site, "imag", args, kwargs)
    return tuple(map(ComplexPair, real, imag)) if isinstance(real, list | tuple) else ComplexPair(real, imag)


def _on_half(site: Site, half: str, args: Any, kwargs: Any) -> Any:
    def pick(leaf: Any) -> Any:
        if isinstance(leaf, ComplexPair):
            return getattr(leaf, half)
        mixed_in = half == "imag" and isinstance(leaf, torch.Tensor) and leaf.is_floating_point()
        return torch.zeros_like(leaf) if mixed_in else leaf

    picked, named = pytree.tree_map(pick, (args, kwargs))
    return site.op(*picked, **named)


def _reshape(_: Site, z: ComplexPair, shape: Sequence[int]) -> ComplexPair:
    """Reshape each half, which may have to be copied for a view."""
    return ComplexPair(z.real.reshape(shape), z.imag.reshape(shape))


def _pad(_: Site, z: ComplexPair, pad: Sequence[int], *rest: Any, **named: Any) -> ComplexPair:
    """Pad the real part with the value, the imaginary part with 0."""
    mode = "constant" if not rest or not isinstance(rest[0], str) else rest[0]
    value = named.get("value", rest[-1] if rest and not isinstance(rest[-1], str) else None)
    real, imag = parts(0.0 if value is None else value)
    if mode != "constant":
        return ComplexPair(*(aten.pad(half, pad, mode) for half in (z.real, z.imag)))
    return ComplexPair(
        aten.constant_pad_nd(z.real, pad, real), aten.constant_pad_nd(z.imag, pad, imag or 0.0)
    )


def _add(_: Site, z: Operand, w: Operand, alpha: float = 1) -> ComplexPair:
    a, b = parts(z)
    c, d = parts(times(w, alpha) if alpha != 1 else w)
    return pair(a + c, b if d is None else d if b is None else b + d)


def _sub(site: Site, z: Operand, w: Operand, alpha: float = 1) -> ComplexPair:
    return _add(site, z, times(w, -alpha))


def _rsub(site: Site, z: Operand, w: Operand, alpha: float = 1) -> ComplexPair:
    return _add(site, w, times(z, -alpha))


def _mul(_: Site, z: Operand, w: Operand) -> Any:
    return times(z, w)


def _div(_: Site, z: Operand, w: Operand) -> ComplexPair:
    """``z / w = z·conj(w) / |w|²``."""
    c, d = parts(w)
    if d is None:
        a, b = parts(z)
        return ComplexPair(a / c, b / c)
    scaled = ComplexPair(c, -d) if isinstance(c, torch.Tensor) else complex(c, -d)
    numerator = times(z, scaled)
    squared = c * c + d * d
    return ComplexPair(numerator.real / squared, numerator.imag / squared)


def _view_as_real(_: Site, z: ComplexPair) -> Tensor:
    return z.together(-1)


def _view_as_complex(_: Site, x: Tensor) -> ComplexPair:
    return halves_together.of_interleaved(x)


def _complex(_: Site, real: Tensor, imag: Tensor) -> ComplexPair:
    return ComplexPair(*torch.broadcast_tensors(real, imag))


def _polar(_: Site, magnitude: Tensor, angle: Tensor) -> ComplexPair:
    return ComplexPair(magnitude * torch.cos(angle), magnitude * torch.sin(angle))


def _abs(_: Site, z: ComplexPair) -> Tensor:
    return torch.sqrt(z.real * z.real + z.imag * z.imag)


def _angle(_: Site, z: ComplexPair) -> Tensor:
    return torch.atan2(z.imag, z.real)


def _conj(_: Site, z: ComplexPair) -> ComplexPair:
    return ComplexPair(z.real, -z.imag)


def _cast(site: Site, z: ComplexPair | Tensor, **_: Any) -> ComplexPair | Tensor:
    dtype = site.result.dtype.to_real()
    if not isinstance(z, ComplexPair):
        return pair(z.to(dtype), 0.0)
    if not site.result.is_complex():
        return z.real.to(dtype)
    return z if z.real.dtype == dtype else ComplexPair(z.real.to(dtype), z.imag.to(dtype))


def _same(_: Site, z: ComplexPair, *__: Any, **___: Any) -> ComplexPair:
    return z


def _copy(site: Site, target: ComplexPair | Tensor, source: Operand, *_: Any) -> ComplexPair | Tensor:
    """The source in the shape of what it is written over."""
    written, dtype = pair(*parts(source)), site.result.dtype.to_real()
    real, imag = (half.to(dtype).expand(target.shape) for half in (written.real, written.imag))
    return ComplexPair(real, imag) if site.result.is_complex() else real


def _where(_: Site, condition: Tensor, z: Operand, w: Operand) -> ComplexPair:
    (a, b), (c, d) = parts(z), parts(w)
    zero = torch.zeros((), dtype=a.dtype if isinstance(a, torch.Tensor) else c.dtype)
    return pair(
        torch.where(condition, a, c),
        torch.where(condition, zero if b is None else b, zero if d is None else d),
    )


def _masked_fill(site: Site, z: Operand, mask: Tensor, value: Operand) -> ComplexPair:
    return _where(site, mask, value, z)


def _fill(site: Site, shape: Sequence[int], value: complex) -> ComplexPair | Tensor:
    real, imag = parts(value)
    dtype = site.result.dtype.to_real()
    filled = torch.full(shape, real, dtype=dtype)
    return pair(filled, imag) if site.result.is_complex() else filled


LOWERINGS: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys(
        (
            aten.slice.Tensor, aten.select.int, aten.permute.default, aten.transpose.int, aten.t.default,
            aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.unsqueeze.default,
            aten.expand.default, aten.cat.default, aten.stack.default, aten.split.Tensor,
            aten.split_with_sizes.default, aten.unbind.int, aten.flip.default, aten.roll.default,
            aten.index_select.default, aten.index.Tensor, aten.gather.default, aten.slice_scatter.default,
            aten.select_scatter.default, aten.repeat.default, aten.neg.default, aten.sum.default,
            aten.sum.dim_IntList, aten.mean.default, aten.mean.dim, aten.tile.default, aten.unfold.default,
            aten.repeat_interleave.self_int, aten.diagonal.default, aten.scatter_add.default,
            aten.index_add.default, aten.index_put.default, aten.cumsum.default, aten.tril.default,
            aten.triu.default, aten.diag_embed.default, aten.scatter.src, aten.index_copy.default,
            aten.narrow.default, aten.lift.default, aten.as_strided.default, aten.reflection_pad1d.default,
            aten.reflection_pad2d.default, aten.replication_pad1d.default, aten.replication_pad2d.default,
        ),
        _halfwise,
    ),
    **dict.fromkeys(
        (
            aten.clone.default, aten.contiguous.default, aten.alias.default, aten.detach.default,
            aten.resolve_conj.default, aten.resolve_neg.default, aten.lift_fresh_copy.default,
        ),
        _same,
    ),
    **dict.fromkeys(halves_together.VIEWS, _reshape),
    **dict.fromkeys(
        (
            aten._conj.default, aten.conj.default, aten.conj_physical.default, aten._conj_physical.default,
        ),
        _conj,
    ),
    **dict.fromkeys(halves_together.PADS, _pad),
    **dict.fromkeys((aten.add.Tensor, aten.add.Scalar), _add),
    **dict.fromkeys((aten.sub.Tensor, aten.sub.Scalar), _sub),
    **dict.fromkeys((aten.rsub.Tensor, aten.rsub.Scalar), _rsub),
    **dict.fromkeys((aten.mul.Tensor, aten.mul.Scalar), _mul),
    **dict.fromkeys((aten.div.Tensor, aten.div.Scalar), _div),
    **dict.fromkeys((aten.where.self, aten.where.ScalarOther, aten.where.ScalarSelf), _where),
    **dict.fromkeys((aten.masked_fill.Scalar, aten.masked_fill.Tensor), _masked_fill),
    **dict.fromkeys(
        (aten.zeros_like.default, aten.empty_like.default), lambda site, z, *_, **__: _fill(site, z.shape, 0)
    ),
    aten.ones_like.default: lambda site, z, *_, **__: _fill(site, z.shape, 1),
    aten.full_like.default: lambda site, z, value, *_, **__: _fill(site, z.shape, value),
    **dict.fromkeys(
        (aten.new_zeros.default, aten.new_empty.default), lambda site, _, size, **__: _fill(site, size, 0)
    ),
    aten.new_ones.default: lambda site, _, size, **__: _fill(site, size, 1),
    aten.new_full.default: lambda site, _, size, value, **__: _fill(site, size, value),
    **dict.fromkeys(
        (aten.zeros.default, aten.empty.memory_format), lambda site, size, **_: _fill(site, size, 0)
    ),
    aten.ones.default: lambda site, size, **_: _fill(site, size, 1),
    aten.full.default: lambda site, size, value, **_: _fill(site, size, value),
    aten.view_as_real.default: _view_as_real,
    aten.view_as_complex.default: _view_as_complex,
    aten.complex.default: _complex,
    aten.polar.default: _polar,
    aten.sym_size.int: lambda _, z, dim: z.shape[dim],
    aten.real.default: lambda _, z: z.real,
    aten.imag.default: lambda _, z: z.imag,
    aten.abs.default: _abs,
    aten.angle.default: _angle,
    aten._to_copy.default: _cast,
    **dict.fromkeys((aten.copy.default, aten.fill.Tensor), _copy),
    aten.fill.Scalar: lambda site, z, value: _fill(site, z.shape, value),
}  # fmt: skip


@decompose(
    *LOWERINGS,
    name="complex-as-real-pairs",
    why="ONNX has no complex dtype that runtimes implement: torch.onnx stops at the first complex pad.",
    numerics=Numerics(min_snr_db=125),
    tags={"spectral"},
    after=["stft-as-matmul", "istft-as-matmul", "cumsum-in-stages", "reflection-as-slices",
           "scatter-add-as-gathers", "select-scatter-as-concat"],
    cases=[
        Case("shapes", examples.Shapes, ((2, 3, 8, 2),), fires=35, needed=True),
        Case("arithmetic", examples.Arithmetic, ((2, 8, 2), (2, 8)), fires=25, needed=True),
        Case("masking", examples.Masking, ((2, 8, 2), (2, 8)), fires=12, needed=True),
        Case("constants", examples.Constants, ((2, 8, 2),), fires=5, needed=True),
        Case("filling", examples.Filling, ((2, 3, 8, 2),), fires=48, needed=True),
        Case("scattering", examples.Scattering, ((2, 3, 8, 2),), fires=28, needed=True),
        Case("casts", examples.Casts, ((2, 8, 2),), fires=14, needed=True),
        Case("arithmetic-of-an-open-batch", examples.Arithmetic, ((2, 8, 2), (2, 8)), fires=25, needed=True,
             options={"batch": "dynamic"}),
        Case("filling-of-an-open-batch", examples.Filling, ((2, 3, 8, 2),), fires=69, needed=True,
             options={"batch": "dynamic"}),
        Case("unknown-operator", examples.Unknown, ((2, 8, 2),), fires=1,
             because="no rule lowers aten.cumprod.default on a complex tensor", needed=True),
        Case("nothing-complex", examples.AllReal, ((2, 8, 2),), fires=0),
    ],
)  # fmt: skip
def complex_as_real_pairs(site: Site, *args: Any, **kwargs: Any) -> Any:
    """``op`` on complex tensors → the same on real and imaginary parts."""
    if not is_complex(site, args):
        return NotImplemented
    together = halves_together.moved(site.op, *args, **kwargs) if isinstance(args[0], ComplexPair) else None
    return LOWERINGS[site.op](site, *args, **kwargs) if together is None else together

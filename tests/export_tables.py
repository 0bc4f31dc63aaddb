"""What torch works out anew in every export, kept from one export to the next."""

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from onnx.defs import OpSchema
from onnx_ir.schemas import OpSignature
from torch._C import DispatchKey
from torch._export import utils
from torch._ops import OpOverload
from torch._subclasses.fake_impls import op_implementations_dict as fake_rules
from torch.export import exported_program

from onnx_demucs_compiler.tracing.translations import translations_read_once

Decompositions = dict[OpOverload, Callable[..., Any]]


FOR_GOOD = ExitStack()
"""Held to the end of the process: what nobody holds is left."""


def keep_export_tables() -> None:
    """Read once in a process what no export changes.

    That is torch.onnx's 500 translations, ONNX's operators, torch's composite operators, and the kernels
    that hold one of these together for the time of a decomposition: seven eighths of the time of a small
    export. Each export still has a registry of its own, so that what it registers is gone after it. That the
    bytes are those of an export without this is tested in ``engine/test_determinism.py``.
    """
    utils._materialize_cpp_cia_ops = functools.cache(utils._materialize_cpp_cia_ops)
    utils._is_preservable_cia_op = functools.cache(utils._is_preservable_cia_op)
    exported_program._override_composite_implicit_decomp = _overriding(
        exported_program._override_composite_implicit_decomp
    )
    OpSignature.from_op_schema = classmethod(_signatures(OpSignature.from_op_schema))
    FOR_GOOD.enter_context(translations_read_once())


def _signatures(
    original: Callable[[OpSchema], OpSignature],
) -> Callable[[type[OpSignature], OpSchema], OpSignature]:
    """The signature of an operator, made once for each version of it."""
    kept: dict[tuple[str, str, int], OpSignature] = {}

    def from_op_schema(cls: type[OpSignature], schema: OpSchema) -> OpSignature:
        version = schema.domain, schema.name, schema.since_version
        if version not in kept:
            kept[version] = original(schema)
        return kept[version]

    return from_op_schema


def _overriding(
    original: Callable[[Decompositions], AbstractContextManager[None]],
) -> Callable[[Decompositions], AbstractContextManager[None]]:
    """torch's override of composite operators, with the kernels that it gives each kept.

    There are 11,000 of them, and none but that of ``CompositeImplicitAutograd`` depends on the decomposition.
    """
    kept: dict[OpOverload, tuple[dict[DispatchKey, Any], Any]] = {}

    @contextmanager
    def overriding(decompositions: Decompositions) -> Iterator[None]:
        before = {op: op.py_kernels.copy() for op in decompositions}
        if not decompositions.keys() <= kept.keys():
            with original(decompositions):
                for op, kernels in before.items():
                    added = {key: kernel for key, kernel in op.py_kernels.items() if key not in kernels}
                    kept[op] = added, fake_rules[op]
                yield
            return
        for op, decomposition in decompositions.items():
            added, fake_rule = kept[op]
            op.py_kernels.update(added | {DispatchKey.CompositeImplicitAutograd: decomposition})
            op._dispatch_cache.clear()
            fake_rules.setdefault(op, fake_rule)
        try:
            yield
        finally:
            for op, kernels in before.items():
                op.py_kernels.clear()
                op.py_kernels.update(kernels)
                op._dispatch_cache.clear()
                fake_rules.pop(op, None)

    return overriding

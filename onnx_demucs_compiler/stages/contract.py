"""Holding a finished graph to the contract of its target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_compiler.contracts import CONTRACTS, PROVIDERS
from onnx_demucs_compiler.contracts.reading import described
from onnx_demucs_compiler.errors import CompilerError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import onnx

    from onnx_demucs_compiler.targets import Target


def providers_of(model: onnx.ModelProto, target: Target) -> tuple[str, ...]:
    """The execution providers that run all of a finished model.

    Empty where the target's runtime has but one.
    """
    if target.contract not in PROVIDERS:
        return ()
    return PROVIDERS[target.contract](described(model, 0))


def held_to_contract(
    model: onnx.ModelProto, size: int, target: Target, own: Collection[str]
) -> Iterator[str]:
    """The breaches of the target's contract by the model or the request.

    Args:
        model: finished, so that the names of nodes begin with those of the rules that made them.
        size: of the model when serialised, in bytes.
        target: whose contract the model keeps.
        own: the rules that must not break it.

    Yields:
        One line, where there is anything to tell.

    Raises:
        CompilerError: one of the rules put in what the contract forbids.
    """
    broken = [found for found in CONTRACTS[target.contract](described(model, size)) if found.breaks]
    for finding in broken:
        if culprits := {made_by for name in finding.nodes if (made_by := name.rpartition("/")[0]) in own}:
            raise CompilerError(
                f"{', '.join(sorted(culprits))} broke the contract of target {target}: {finding}; "
                "leave the rule out (--without) and report it"
            )
    if broken:
        yield f"not what target {target} promises ({target.contract}): {'; '.join(map(str, broken))}"

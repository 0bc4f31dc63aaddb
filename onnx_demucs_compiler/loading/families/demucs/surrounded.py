"""The surroundings of segments that demucs' ``apply_model`` gives a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn import functional

from onnx_demucs_compiler.loading.families.demucs.own_classes import HYBRID, TIME_DOMAIN, is_own

if TYPE_CHECKING:
    from collections.abc import Iterator


def context_of(module: nn.Module) -> int | None:
    """The most samples around a segment, if windows are of many lengths.

    ``apply_model`` gives Demucs a segment in its ``valid_length``, and HDemucs the segment as it is (demucs
    4.1, ``demucs/apply.py``).

    Args:
        module: any module.

    Returns:
        None for what is neither one of these two nor a bag of them, such as HTDemucs, all of whose windows
        have one length; and for HDemucs without a waveform branch, whose graph has one length.
    """
    members = list(_members(module))
    if not all(is_own(member, HYBRID, TIME_DOMAIN) and getattr(member, "hybrid", True) for member in members):
        return None
    return max((_most_missing(member) + 1) // 2 for member in members)


class Surrounded(nn.Module):
    """A model given of a window what ``apply_model`` would give it."""

    def __init__(self, model: nn.Module, context: int) -> None:
        """Take a model of demucs or a bag.

        Args:
            model: with a context, by :func:`context_of`.
            context: samples on either side of a segment.
        """
        super().__init__()
        self.model: Any = model
        self.context = context

    def forward(self, mix: Tensor) -> Tensor:
        """Separate ``[B, C, N]`` into ``[B, S, C, N]``, with silence where the context was."""
        outputs = [self._middle(member, mix) for member in _members(self.model)]
        stems = self.model.combine(outputs) if _is_bag(self.model) else outputs[0]
        return functional.pad(stems, (self.context, self.context))

    def _middle(self, member: Any, mix: Tensor) -> Tensor:
        length = mix.shape[-1] - 2 * self.context
        missing = _window(member, length) - length
        first = self.context - missing // 2
        separated: Tensor = member(mix[..., first:][..., : length + missing])
        return separated[..., missing // 2 :][..., :length]


def _members(module: Any) -> Iterator[Any]:
    yield from module.models if _is_bag(module) else (module,)


def _is_bag(module: Any) -> bool:
    return hasattr(module, "combine")


def _window(member: Any, length: int) -> int:
    """The samples that ``apply_model`` gives a member for a segment."""
    if not is_own(member, TIME_DOMAIN):
        return length
    valid: int = member.valid_length(length)
    return valid


def _most_missing(member: Any) -> int:
    """The most samples by which a window is longer than its segment."""
    shortest = _window(member, 1)
    step = _window(member, shortest + 1) - shortest
    return max(shortest, step) - 1

"""Bags of models: a ``.yaml`` that names checkpoints, and demucs' BagOfModels."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from demucs.apply import BagOfModels
from torch import nn

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.loading.families.demucs.checkpoint import load_checkpoint
from onnx_demucs_compiler.loading.families.demucs.weighted_bag import WeightedBag
from onnx_demucs_compiler.loading.source_model import SourceModel, from_module


@dataclass(frozen=True)
class BagFile:
    """The content of a bag's ``.yaml``.

    Attributes:
        path: The file.
        signatures: The members, in order; one may come twice.
        weights: One number per source for each member, or None for ones.
        segment: Seconds; overrides the members' own.
    """

    path: Path
    signatures: tuple[str, ...]
    weights: list[list[float]] | None
    segment: float | None

    def fill(self, members: Sequence[nn.Module]) -> nn.Module:
        """Make demucs' BagOfModels of the loaded members, whose ``segment`` it may set.

        Raises:
            CompilerError: If the weights or the segment do not suit the members.
        """
        try:
            self._check_numbers()
            bag: nn.Module = BagOfModels(list(members), self.weights, self.segment)
        except (AssertionError, TypeError, ValueError, OverflowError) as error:
            raise CompilerError(
                f"the bag {self.path} is malformed: give 'weights' one number per source for each model, "
                "and 'segment' in seconds"
            ) from error
        return bag

    def _check_numbers(self) -> None:
        weights = [weight for row in self.weights or [] for weight in row]
        if not all(map(math.isfinite, weights)):
            raise ValueError("a weight that is infinite or not a number")
        if self.segment is not None and not 0 < self.segment < math.inf:
            raise ValueError("a segment without a length")


def read_bag(path: Path) -> BagFile:
    """Read a bag's ``.yaml``.

    Raises:
        CompilerError: If it cannot be read or names no models.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise CompilerError(f"cannot read the bag {path}; it must be YAML that names models") from error
    return BagFile(path, _signatures(path, content), content.get("weights"), content.get("segment"))


def _signatures(path: Path, content: Any) -> tuple[str, ...]:
    models = content.get("models") if isinstance(content, dict) else None
    if not isinstance(models, list) or not models or not all(isinstance(model, str) for model in models):
        raise CompilerError(f"the bag {path} names no models; write models: ['SIGNATURE', ...]")
    return tuple(models)


def load_bag(name: str, bag: BagFile, checkpoints: Mapping[str, Path], *, trust: bool) -> SourceModel:
    """Load a bag's members and make one module of them.

    Args:
        name: The model as the user named it.
        bag: What its file says.
        checkpoints: The members' files, by signature.
        trust: Let them run code of their maker's choosing.

    Raises:
        CompilerError: If a member has no file, cannot be loaded, or does not go with the others.
    """
    for signature in bag.signatures:
        if signature not in checkpoints:
            raise CompilerError(
                f"the bag {bag.path} needs the checkpoint {signature}, which is not beside it"
            )
    members = {
        signature: load_checkpoint(checkpoints[signature], name, trust=trust) for signature in bag.signatures
    }
    module = as_one_module(bag.fill([members[signature].module for signature in bag.signatures]), name)
    provenance = "; ".join(member.provenance for member in members.values())
    files = tuple(file for member in members.values() for file in member.checkpoints)
    warnings = tuple(warning for member in members.values() for warning in member.warnings)
    source = from_module(module, name, provenance=provenance)
    return replace(source, checkpoints=files, warnings=warnings)


def as_one_module(model: nn.Module, name: str, signatures: Sequence[str] = ()) -> nn.Module:
    """One module of a bag: its only member, or a WeightedBag.

    Any other module is returned as it is.

    Demucs divides by the sum of the weights, so those of a bag of one cancel out unless they are zero.

    Args:
        model: A BagOfModels or any module.
        name: The model as the user named it.
        signatures: The members' names, where they are known; members of one name become one module.

    Raises:
        CompilerError: If the weights of a source sum to 0, or the members' segments differ.
    """
    if not isinstance(model, BagOfModels):
        return model
    _share_repeated(model, signatures)
    if len(model.models) == 1 and 0 in model.weights[0]:
        raise CompilerError(
            f"the bag {name} gives a source of its only model the weight 0; take 'weights' out of it"
        )
    bag = WeightedBag(model, name)
    return bag.models[0] if len(bag.models) == 1 else bag


def _share_repeated(bag: BagOfModels, signatures: Sequence[str]) -> None:
    for index, signature in enumerate(signatures):
        bag.models[index] = bag.models[signatures.index(signature)]

"""Networks of Music-Source-Separation-Training: RoFormers, MDX23C, SCNet and others.

A model is a checkpoint and the configuration that it was trained with. The networks themselves are those of
the package pymss-core, the extra ``networks``; this family reads both files without running their code.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.loading.families.any_module import ANY
from onnx_demucs_compiler.loading.families.family import Family
from onnx_demucs_compiler.loading.families.networks.checkpoint import load_weights
from onnx_demucs_compiler.loading.families.networks.config import read_config
from onnx_demucs_compiler.loading.families.networks.network import Network, build, draw_for, source_of
from onnx_demucs_compiler.loading.families.networks.untrained import is_untrained, load_untrained

if TYPE_CHECKING:
    from torch import nn

    from onnx_demucs_compiler.loading.source_model import SourceModel


def claims(module: nn.Module) -> bool:
    """True for what :func:`load_model` gives."""
    return isinstance(module, Network)


def knows(spec: str, config: Path | None) -> bool:
    """True for a checkpoint with a configuration, and for untrained networks."""
    return config is not None or is_untrained(spec)


def load_model(
    spec: str,
    repo: Path | None = None,
    *,
    config: Path | None = None,
    trust_checkpoint: bool = False,  # noqa: ARG001 - only numbers are read
) -> SourceModel:
    """Load a network.

    Args:
        spec: ``untrained:NAME[?dim=N&…&seed=N]``, or the path of a checkpoint: a state dict, bare or under
            ``state``, ``state_dict`` or ``model_state_dict``, pickled or in safetensors.
        repo: none.
        config: the checkpoint's configuration, YAML.
        trust_checkpoint: changes nothing.

    Returns:
        The model in float32 on the CPU, in eval mode.

    Raises:
        UsageError: ``spec`` and ``config`` do not go together, or a name or parameter is unknown.
        CompilerError: a file is missing or damaged, holds other things than numbers, they do not fit each
            other, or pymss-core is not installed.
    """
    if repo is not None:
        raise UsageError(
            "a model with a configuration is given by the path of its checkpoint; leave out --repo"
        )
    if config is None:
        return load_untrained(spec)
    if is_untrained(spec):
        raise UsageError(f"{spec} has a configuration of its own; leave out --config")
    path, configuration = Path(spec), read_config(config)
    module = build(configuration, str(config))
    digest = load_weights(module, path, config)
    source = source_of(module, configuration, path.stem, f"{configuration.kind}, {path.name}")
    return replace(source, checkpoints=((path.name, digest),))


def at_length(source: SourceModel, length: int | str) -> SourceModel:
    """The same network for segments of another length, which overlap as much."""
    changed, size = ANY.at_length(source, length), source.segment or 1
    return replace(changed, fade_step=max(1, source.fade_step * (changed.segment or size) // size))


NETWORKS = Family(
    name="networks",
    claims=claims,
    one_module=ANY.one_module,
    refuse=ANY.refuse,
    hop=ANY.hop,
    min_hops=ANY.min_hops,
    at_length=at_length,
    cuts=ANY.cuts,
    differing_segments=ANY.differing_segments,
    lively=draw_for,
    knows=knows,
    load=load_model,
)

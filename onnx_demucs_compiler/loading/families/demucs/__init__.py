"""Demucs' models: untrained, from a checkpoint, from a folder, or pretrained."""

import sys
from importlib import import_module
from pathlib import Path

from torch import nn

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.loading.families.demucs.differing import differing_segments
from onnx_demucs_compiler.loading.families.demucs.failures import one_line
from onnx_demucs_compiler.loading.families.demucs.length import MIN_HOPS, hop_of, set_length
from onnx_demucs_compiler.loading.families.demucs.lively import draw_for
from onnx_demucs_compiler.loading.families.demucs.own_classes import BAG, HYBRIDS, TIME_DOMAIN, is_own
from onnx_demucs_compiler.loading.families.demucs.spectrograms import HybridSpectrograms
from onnx_demucs_compiler.loading.families.demucs.surrounded import Surrounded, context_of
from onnx_demucs_compiler.loading.families.demucs.unsupported import refuse_unsupported
from onnx_demucs_compiler.loading.families.family import Family
from onnx_demucs_compiler.loading.source_model import SourceModel


def claims(module: nn.Module) -> bool:
    """True for a model of demucs or what holds one."""
    return any(is_own(child, BAG, TIME_DOMAIN, *HYBRIDS) for child in module.modules())


def as_one_module(model: nn.Module, name: str) -> nn.Module:
    """One module of demucs' BagOfModels; any other module as it is.

    demucs is imported for a bag only.

    Raises:
        CompilerError: If the weights of a source sum to 0, or the members' segments differ.
    """
    if not is_own(model, BAG):
        return model
    from onnx_demucs_compiler.loading.families.demucs import bags

    return bags.as_one_module(model, name)


def load_model(
    spec: str,
    repo: Path | None = None,
    *,
    config: Path | None = None,  # noqa: ARG001 - a checkpoint of demucs says all
    trust_checkpoint: bool = False,
) -> SourceModel:
    """Load the model that a user names.

    Args:
        spec: ``untrained:NAME[?seed=N]``, the real architecture of NAME with seeded lively weights; the
            path of a checkpoint; a pretrained name or signature known to demucs; or
            ``hf://[NAMESPACE/]NAME``.
        repo: A folder of checkpoints and bag ``.yaml`` files; ``spec`` then names one of its models.
        config: None.
        trust_checkpoint: Let checkpoints run code of their maker's choosing, as demucs does. Without it one
            that names anything but demucs' own classes is refused, and nothing it names is run. A whole
            module that ``torch.save`` wrote is taken too.

    Returns:
        The model in float32 on the CPU, in eval mode.

    Raises:
        UsageError: If no model has that name, it is the file of a bag, or ``repo`` is not a folder.
        CompilerError: If the checkpoint is missing, damaged, of another kind or asks for other code than
            demucs' classes, cannot be downloaded, or its members do not fit together; or if another
            package stands where demucs should.
    """
    _import_demucs()
    from onnx_demucs_compiler.loading.families.demucs.named import load_named

    source = load_named(spec, repo, trust=trust_checkpoint)
    source.module.eval()
    return source


def _import_demucs() -> None:
    try:
        import_module("demucs.api")
    except (ImportError, AttributeError) as error:
        where = getattr(sys.modules.get("demucs"), "__file__", None) or "nothing"
        raise CompilerError(
            f"demucs cannot be imported ({one_line(error)}); the module of that name is {where}, so "
            "import demucs before the package that takes its name, or give the module itself"
        ) from error


DEMUCS = Family(
    name="demucs",
    claims=claims,
    one_module=as_one_module,
    refuse=refuse_unsupported,
    hop=hop_of,
    min_hops=MIN_HOPS,
    at_length=set_length,
    cuts=HybridSpectrograms,
    differing_segments=differing_segments,
    lively=draw_for,
    context=context_of,
    surrounded=Surrounded,
    knows=lambda *_: True,
    load=load_model,
)

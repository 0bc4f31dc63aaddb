"""Options of demucs that this compiler does not compile, refused by name."""

from typing import Any

from torch import nn

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.loading.families.demucs.own_classes import HYBRIDS, is_own


def refuse_unsupported(module: nn.Module, name: str) -> None:
    """Look through a model for what cannot be compiled.

    Args:
        module: any module.
        name: the model as the user named it.

    Raises:
        CompilerError: it iterates Wiener filters, or its attention is sparse.
    """
    for child in module.modules():
        if _iterates_wiener(child):
            raise CompilerError(
                f"{name} iterates Wiener filters (cac=False, wiener_iters={child.wiener_iters}), which is "
                "not supported; set wiener_iters = end_iters = 0 to give magnitudes the mix's phase instead"
            )
        if getattr(child, "sparse", False) is True and hasattr(child, "auto_sparsity"):
            raise CompilerError(
                f"{name} has sparse attention (t_sparse_self_attn or t_sparse_cross_attn), which demucs "
                "computes by kernels of xformers that ONNX does not have; use a model without it"
            )


def _iterates_wiener(child: Any) -> bool:
    return is_own(child, *HYBRIDS) and not child.cac and child.wiener_iters > 0

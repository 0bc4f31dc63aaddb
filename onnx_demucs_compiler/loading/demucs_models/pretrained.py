"""The pretrained models that demucs downloads, or finds in its caches."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from demucs.api import list_models
from demucs.pretrained import get_model
from huggingface_hub import constants
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError
from torch import nn

from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.loading.demucs_models.bags import as_one_module, read_bag
from onnx_demucs_compiler.loading.demucs_models.failures import fatal_as_error, one_line
from onnx_demucs_compiler.loading.demucs_models.names import unknown_name
from onnx_demucs_compiler.loading.demucs_models.untrained import ARCHITECTURES, UNTRAINED_PREFIX
from onnx_demucs_compiler.loading.source_model import SourceModel, from_module

HUB_PREFIX = "hf://"

_HUB_ANSWERS_WITHIN_S = 5.0
_SOCKET_TIMEOUT_S = 30.0


def load_pretrained(name: str) -> SourceModel:
    """Load a model that demucs publishes, from its caches or by downloading it.

    Args:
        name: A name or signature known to demucs, or ``hf://[NAMESPACE/]NAME``.

    Raises:
        UsageError: If demucs, or the Hugging Face hub, knows no such model.
        CompilerError: If it cannot be downloaded or loaded, or its members do not fit together.
    """
    signatures = _signatures(name)
    module = as_one_module(_get_model(name), name, signatures)
    return from_module(module, name, provenance=_provenance(name, signatures))


def _signatures(name: str) -> tuple[str, ...]:
    """The signatures that ``name`` stands for; none for a model of the hub, known only once it is there."""
    if name.startswith(HUB_PREFIX):
        return ()
    published = list_models()
    if name in published["bag"]:
        return read_bag(published["bag"][name]).signatures
    if name in published["single"]:
        return (name,)
    raise unknown_name(name, published["bag"], where="is known to demucs")


def _provenance(name: str, signatures: Sequence[str]) -> str:
    return " ".join(dict.fromkeys(["pretrained", name, *signatures]))


def _get_model(name: str) -> nn.Module:
    try:
        with _bounded_network(), fatal_as_error(name):
            model: nn.Module = get_model(name)
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise UsageError(
            f"the Hugging Face hub shows no model {name}; check its name ({one_line(error)})"
        ) from error
    except OSError as error:
        raise CompilerError(f"could not download {name}: {_reason(error)}; {_ways_out(name)}") from error
    except RuntimeError as error:
        raise CompilerError(f"could not load {name}: {one_line(error)}; {_ways_out(name)}") from error
    return model


def _reason(error: OSError) -> str:
    unreachable = isinstance(error, URLError | LocalEntryNotFoundError | TimeoutError)
    if unreachable and not isinstance(error, HTTPError):
        return f"no network ({one_line(error)})"
    return one_line(error)


def _ways_out(name: str) -> str:
    if name in ARCHITECTURES:
        return f"give a .th file, --repo DIR, or {UNTRAINED_PREFIX}{name}"
    return "give a .th file or --repo DIR"


@contextmanager
def _bounded_network() -> Iterator[None]:
    """Keep demucs' downloads from hanging where there is no network.

    huggingface_hub retries five times, each with a timeout of a minute, and no setting changes that;
    torch.hub waits without a limit. So: ask the hub once, use only its cache if it does not answer, and
    give every socket a timeout.
    """
    timeout, offline = socket.getdefaulttimeout(), constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = offline or not _hub_answers()
    socket.setdefaulttimeout(_SOCKET_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(timeout)
        constants.HF_HUB_OFFLINE = offline


def _hub_answers() -> bool:
    try:
        urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=_HUB_ANSWERS_WITHIN_S).close()
    except HTTPError:
        return True
    except OSError:
        return False
    return True

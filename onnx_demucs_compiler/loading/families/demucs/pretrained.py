"""The pretrained models that demucs downloads, or finds in its caches."""

import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import torch
from demucs.api import list_models
from demucs.hf import DEFAULT_NAMESPACE, hf_repo_name
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.loading.families.demucs.bags import BagFile, load_bag, read_bag
from onnx_demucs_compiler.loading.families.demucs.checkpoint import SAFETENSORS, load_checkpoint
from onnx_demucs_compiler.loading.families.demucs.failures import one_line
from onnx_demucs_compiler.loading.families.demucs.names import unknown_name
from onnx_demucs_compiler.loading.families.demucs.untrained import ARCHITECTURES
from onnx_demucs_compiler.loading.families.family import UNTRAINED_PREFIX
from onnx_demucs_compiler.loading.source_model import SourceModel

HUB_PREFIX = "hf://"

Files = Mapping[str, Path]
"""Checkpoints by signature."""

_HUB_ANSWERS_WITHIN_S = 5.0
_SOCKET_TIMEOUT_S = 30.0


def load_pretrained(name: str, *, trust: bool = False) -> SourceModel:
    """Load a published model of demucs, from its caches or by download.

    As demucs does, a named model is looked for on the Hugging Face hub first and then where demucs published
    its models before; a signature only there. Everything goes through the one loader of checkpoints.

    Args:
        name: A name or signature known to demucs, or ``hf://[NAMESPACE/]NAME``.
        trust: Let checkpoints run code of their maker's choosing.

    Raises:
        UsageError: If demucs, or the Hugging Face hub, knows no such model.
        CompilerError: If it cannot be downloaded or loaded, or its members do not fit together.
    """
    with _as_errors(name), _bounded_network():
        if name.startswith(HUB_PREFIX):
            found: tuple[BagFile | None, Files] = _from_hub(name.removeprefix(HUB_PREFIX))
        else:
            found = _from_anywhere(name)
    bag, files = found
    if bag is None:
        source = load_checkpoint(files[name], name, trust=trust)
    else:
        source = load_bag(name, bag, files, trust=trust)
    signatures = (name,) if bag is None else bag.signatures
    return replace(source, provenance=" ".join(dict.fromkeys(["pretrained", name, *signatures])))


def _from_anywhere(name: str) -> tuple[BagFile | None, Files]:
    published = list_models()
    if name in published["single"]:
        return None, _from_demucs([name], published["single"])
    if name not in published["bag"]:
        raise unknown_name(name, published["bag"], where="is known to demucs")
    try:
        return _from_hub(name)
    except (OSError, ValueError):  # what the hub does not have, or does not give
        bag = read_bag(published["bag"][name])
        return bag, _from_demucs(bag.signatures, published["single"])


def _from_hub(name: str) -> tuple[BagFile, Files]:
    namespace, slash, model = name.partition("/")
    if not slash:
        namespace, model = DEFAULT_NAMESPACE, name
    repo = f"{namespace}/{hf_repo_name(model)}"
    bag = read_bag(Path(hf_hub_download(repo, f"{model}.yaml")))
    return bag, {
        signature: Path(hf_hub_download(repo, f"{signature}{SAFETENSORS}")) for signature in bag.signatures
    }


def _from_demucs(signatures: Sequence[str], addresses: Mapping[str, str]) -> Files:
    """Download as ``torch.hub.load_state_dict_from_url`` does, into the same cache, without loading."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for signature in dict.fromkeys(signatures):
        address = addresses[signature]
        files[signature] = path = folder / address.rpartition("/")[2]
        if not path.exists():
            checksum = path.stem.partition("-")[2]
            torch.hub.download_url_to_file(address, str(path), checksum, progress=sys.stderr.isatty())
    return files


@contextmanager
def _as_errors(name: str) -> Iterator[None]:
    try:
        yield
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise UsageError(
            f"the Hugging Face hub has no model {name}; check its name ({one_line(error)})"
        ) from error
    except OSError as error:
        raise CompilerError(f"could not download {name}: {_reason(error)}; {_ways_out(name)}") from error
    except RuntimeError as error:
        raise CompilerError(f"could not load {name}: {one_line(error)}; {_ways_out(name)}") from error


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

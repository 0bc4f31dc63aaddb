import hashlib
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
import torch
from checkpoint_files import write_safetensors
from demucs.api import list_models
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError
from torch import nn

from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.loading import load_model
from onnx_demucs_compiler.loading.families.demucs import pretrained
from onnx_demucs_compiler.loading.families.demucs.unpickling import ForbiddenNamesError

Package = dict[str, Any]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No host name resolves, no connection opens, and nothing was downloaded before."""

    def unresolved(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    monkeypatch.setattr(socket.socket, "connect", unresolved)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture
def socket_timeout() -> Iterator[float]:
    """A default timeout for sockets, in seconds, that someone else has chosen."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(77.0)
    yield 77.0
    socket.setdefaulttimeout(before)


def publish(monkeypatch: pytest.MonkeyPatch, answer: Path | BaseException) -> list[str]:
    """Have hub and server answer every request for a checkpoint with ``answer``, a file of either kind.

    Returns what is asked for, as it comes. The hub has the bags that demucs ships, and ``someone/mine``.
    """
    asked: list[str] = []
    bags = list_models()["bag"]

    def from_hub(repo: str, file: str) -> str:
        asked.append(f"{repo}/{file}")
        if isinstance(answer, BaseException):
            raise answer
        if not file.endswith(".yaml"):
            return str(answer.with_suffix(".safetensors"))
        bag = answer.with_name("mine.yaml") if file == "mine.yaml" else bags[file.removesuffix(".yaml")]
        return str(bag)

    def from_server(url: str, path: str, checksum: str, *, progress: bool) -> None:
        asked.append(f"{url.rpartition('/')[2]} {checksum}")
        if isinstance(answer, BaseException):
            raise answer
        shutil.copy(answer, path)

    monkeypatch.setattr(pretrained, "hf_hub_download", from_hub)
    monkeypatch.setattr(pretrained.torch.hub, "download_url_to_file", from_server)
    monkeypatch.setattr(pretrained, "_hub_answers", lambda: True)
    return asked


@pytest.fixture
def published(package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny model as a ``.th`` file, beside it as ``.safetensors`` and a bag of it, ``mine.yaml``."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    path = tmp_path / "tiny.th"
    torch.save(package, path)
    write_safetensors(path.with_suffix(".safetensors"), package)
    path.with_name("mine.yaml").write_text("models: ['deadbeef']\n")
    return path


def refusal(name: str, kind: type[CompilerError]) -> str:
    with pytest.raises(CompilerError) as error:
        load_model(name)
    assert type(error.value) is kind
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_name_that_is_a_bag_of_one_gives_its_member(
    monkeypatch: pytest.MonkeyPatch, published: Path, tiny_model: nn.Module
) -> None:
    asked = publish(monkeypatch, published)
    model = load_model("htdemucs")
    assert asked == ["adefossez/HTDemucs/htdemucs.yaml", "adefossez/HTDemucs/955717e8.safetensors"]
    assert (model.name, model.provenance) == ("htdemucs", "pretrained htdemucs 955717e8")
    assert type(model.module) is type(tiny_model)
    file = published.with_suffix(".safetensors")
    assert model.checkpoints == ((file.name, hashlib.sha256(file.read_bytes()).hexdigest()),)


def test_a_signature_is_downloaded_once_with_its_checksum(
    monkeypatch: pytest.MonkeyPatch, published: Path, tmp_path: Path
) -> None:
    checksum = hashlib.sha256(published.read_bytes()).hexdigest()[:8]
    address = f"https://example.org/f7e0c4bc-{checksum}.th"
    monkeypatch.setattr(pretrained, "list_models", lambda: {"single": {"f7e0c4bc": address}, "bag": {}})
    asked = publish(monkeypatch, published)
    model = load_model("f7e0c4bc")
    assert model.provenance == load_model("f7e0c4bc").provenance == "pretrained f7e0c4bc"
    assert asked == [f"f7e0c4bc-{checksum}.th {checksum}"]
    assert (tmp_path / "torch" / "hub" / "checkpoints" / f"f7e0c4bc-{checksum}.th").is_file()


def test_what_the_hub_does_not_give_comes_from_demucs_server(
    monkeypatch: pytest.MonkeyPatch, published: Path
) -> None:
    checksum = hashlib.sha256(published.read_bytes()).hexdigest()[:8]
    address = f"https://example.org/deadbeef-{checksum}.th"
    bag = published.with_name("mine.yaml")
    known = {"single": {"deadbeef": address}, "bag": {"mine": bag}}
    asked = publish(monkeypatch, published)
    monkeypatch.setattr(pretrained, "list_models", lambda: known)
    monkeypatch.setattr(pretrained, "hf_hub_download", no_entry)
    assert load_model("mine").provenance == "pretrained mine deadbeef"
    assert asked == [f"deadbeef-{checksum}.th {checksum}"]


def no_entry(repo: str, file: str) -> str:
    raise LocalEntryNotFoundError(f"{repo} has no {file}")


def test_a_file_in_the_cache_that_has_changed_is_refused(
    monkeypatch: pytest.MonkeyPatch, published: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    shutil.copy(published, cache / "f7e0c4bc-ba3fe64a.th")
    publish(monkeypatch, published)
    assert "does not match the checksum in its name: expected ba3fe64a" in refusal("f7e0c4bc", CompilerError)


def test_a_name_of_the_hub_is_passed_on(monkeypatch: pytest.MonkeyPatch, published: Path) -> None:
    asked = publish(monkeypatch, published)
    assert load_model("hf://someone/mine").provenance == "pretrained hf://someone/mine deadbeef"
    assert asked == ["someone/Demucs-mine/mine.yaml", "someone/Demucs-mine/deadbeef.safetensors"]


def test_a_bag_of_several_names_its_members(monkeypatch: pytest.MonkeyPatch, published: Path) -> None:
    publish(monkeypatch, published)
    published.with_name("mine.yaml").write_text("models: ['deadbeef', 'cafebabe']\n")
    model = load_model("hf://someone/mine")
    assert model.provenance == "pretrained hf://someone/mine deadbeef cafebabe"
    assert len(list(model.module.get_submodule("models").children())) == 2


def test_an_unknown_name_is_wrong_usage_without_asking_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = publish(monkeypatch, AssertionError("downloaded"))
    message = refusal("htdemux", UsageError)
    assert (
        "no model named 'htdemux' is known to demucs; did you mean htdemucs? known: hdemucs_mmi," in message
    )
    assert not asked


@pytest.mark.parametrize("name", ["htdemucs", "955717e8", "hf://someone/mine"])
def test_without_a_network_the_refusal_is_quick(no_network: None, name: str) -> None:
    started = time.monotonic()
    message = refusal(name, CompilerError)
    assert time.monotonic() - started < 10
    assert f"could not download {name}: no network" in message
    assert "give a .th file" in message
    assert "--repo DIR" in message
    assert ("untrained:htdemucs" in message) == (name == "htdemucs")


def test_waiting_is_bounded_and_settings_come_back(
    monkeypatch: pytest.MonkeyPatch, socket_timeout: float
) -> None:
    seen: list[tuple[float | None, bool]] = []

    def unplugged(*_: object, **__: object) -> None:
        seen.append((socket.getdefaulttimeout(), constants.HF_HUB_OFFLINE))
        raise OSError("unplugged")

    monkeypatch.setattr(pretrained, "hf_hub_download", unplugged)
    monkeypatch.setattr(pretrained.torch.hub, "download_url_to_file", unplugged)
    monkeypatch.setattr(pretrained, "_hub_answers", lambda: False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert "unplugged" in refusal("htdemucs", CompilerError)
    assert seen == [(30.0, True)] * 2
    assert (socket.getdefaulttimeout(), constants.HF_HUB_OFFLINE) == (socket_timeout, False)


def test_a_server_that_refuses_is_not_a_missing_network(monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, HTTPError("https://example.org", 403, "Forbidden", None, None))  # type: ignore[arg-type]
    message = refusal("htdemucs", CompilerError)
    assert "could not download htdemucs: HTTPError: HTTP Error 403: Forbidden" in message
    assert "no network" not in message


def test_a_download_that_is_damaged_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, RuntimeError('invalid hash value (expected "8726e21a", got "0000")'))
    assert "could not load htdemucs: RuntimeError: invalid hash value" in refusal("htdemucs", CompilerError)


def test_a_malformed_name_of_the_hub_is_wrong_usage(no_network: None) -> None:
    assert "check its name" in refusal("hf://someone/a b", UsageError)


def test_a_hostile_file_of_the_hub_is_refused_and_not_replaced_by_another(
    monkeypatch: pytest.MonkeyPatch, published: Path, package: Package
) -> None:
    asked = publish(monkeypatch, published)
    write_safetensors(published.with_suffix(".safetensors"), package, klass="os.system")
    assert "asks for os.system" in refusal("htdemucs", ForbiddenNamesError)
    assert len(asked) == 2

import copy
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest
from demucs.apply import BagOfModels
from huggingface_hub import constants
from torch import nn

from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.loading import load_model
from onnx_demucs_compiler.loading.demucs_models import pretrained


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


def publish(monkeypatch: pytest.MonkeyPatch, answer: nn.Module | BaseException) -> list[str]:
    """Have demucs answer every request with ``answer``; returns the names it is asked for, as they come."""
    asked: list[str] = []

    def get_model(name: str) -> nn.Module:
        asked.append(name)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    monkeypatch.setattr(pretrained, "get_model", get_model)
    monkeypatch.setattr(pretrained, "_hub_answers", lambda: True)
    return asked


def refusal(name: str, kind: type[CompilerError]) -> str:
    with pytest.raises(CompilerError) as error:
        load_model(name)
    assert type(error.value) is kind
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_name_that_is_a_bag_of_one_gives_its_member(
    monkeypatch: pytest.MonkeyPatch, tiny_model: nn.Module
) -> None:
    asked = publish(monkeypatch, BagOfModels([tiny_model]))
    model = load_model("htdemucs")
    assert asked == ["htdemucs"]
    assert model.module is tiny_model
    assert (model.name, model.provenance) == ("htdemucs", "pretrained htdemucs 955717e8")


def test_a_signature_gives_its_model(monkeypatch: pytest.MonkeyPatch, tiny_model: nn.Module) -> None:
    publish(monkeypatch, tiny_model)
    model = load_model("f7e0c4bc")
    assert model.module is tiny_model
    assert model.provenance == "pretrained f7e0c4bc"


def test_a_name_of_the_hub_is_passed_on(monkeypatch: pytest.MonkeyPatch, tiny_model: nn.Module) -> None:
    asked = publish(monkeypatch, BagOfModels([tiny_model]))
    assert load_model("hf://someone/mine").provenance == "pretrained hf://someone/mine"
    assert asked == ["hf://someone/mine"]


def test_a_bag_of_several_names_its_members(monkeypatch: pytest.MonkeyPatch, tiny_model: nn.Module) -> None:
    members = [tiny_model, *(copy.deepcopy(tiny_model) for _ in range(3))]
    publish(monkeypatch, BagOfModels(members))
    model = load_model("htdemucs_ft")
    assert model.provenance == "pretrained htdemucs_ft f7e0c4bc d12395a8 92cfc3b6 04573f0d"
    assert len(list(model.module.get_submodule("models").children())) == 4


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

    def get_model(name: str) -> nn.Module:
        seen.append((socket.getdefaulttimeout(), constants.HF_HUB_OFFLINE))
        raise OSError("unplugged")

    monkeypatch.setattr(pretrained, "get_model", get_model)
    monkeypatch.setattr(pretrained, "_hub_answers", lambda: False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert "unplugged" in refusal("htdemucs", CompilerError)
    assert seen == [(30.0, True)]
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


def test_demucs_leaving_the_process_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, SystemExit(1))
    assert "83fc094f is quantised with DiffQ" in refusal("83fc094f", CompilerError)

"""``onnx-demucs web``: the site that it writes, and how it serves it."""

import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import onnx
import pytest
from onnx.external_data_helper import set_external_data
from tiny_model import TinyModel
from typer.testing import CliRunner, Result

from onnx_demucs_compiler.cli import app
from onnx_demucs_compiler.web import SiteServer, site

WASM = b"\0asm the program" * 100
SQUEEZED = b"the program, compressed"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["web", *map(str, arguments)])


def fails(result: Result, exit_code: int, *parts: str) -> None:
    """One line on stderr, nothing on stdout."""
    assert (result.exit_code, result.stdout) == (exit_code, ""), result.output
    [line] = result.stderr.splitlines()
    assert line.startswith("error: ")
    for part in parts:
        assert part in line


@pytest.fixture(autouse=True)
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In the place of the built page."""
    folder = tmp_path / "page"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "assets" / "ort.wasm").write_bytes(WASM)
    (folder / "assets" / "ort.wasm.br").write_bytes(SQUEEZED)
    monkeypatch.setattr(site, "PAGE", folder)
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return TinyModel().save(tmp_path / "tiny.onnx", target="web", providers=("wasm",))


def with_weights_beside(path: Path, location: str = "tiny.onnx.data", *, more: str = "") -> bytes:
    """Move a model's weights into a second file, which is not written; its content."""
    model = onnx.load(path)
    tensors = model.graph.initializer
    data = b"".join(tensor.raw_data for tensor in tensors)
    offset = 0
    for index, tensor in enumerate(tensors):
        size = len(tensor.raw_data)
        set_external_data(tensor, more if more and index else location, offset, size)
        tensor.ClearField("raw_data")
        offset += size
    path.write_bytes(model.SerializeToString())
    return data


def test_a_site(model: Path, page: Path, tmp_path: Path) -> None:
    result = run(model, "-o", tmp_path / "site")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.strip() == str(tmp_path / "site" / "index.html")
    files = {file.relative_to(tmp_path / "site").as_posix(): file.read_bytes()
             for file in (tmp_path / "site").rglob("*") if file.is_file()}  # fmt: skip
    assert files["assets/ort.wasm"] == WASM
    assert files["model.onnx"] == model.read_bytes()
    assert files.keys() == {"assets/ort.wasm", "assets/ort.wasm.br", "index.html", "model.json", "model.onnx"}
    told = json.loads(files["model.json"])
    assert told["stems"] == ["drums", "bass", "vocals"]
    assert (told["sample_rate"], told["channels"], told["segment"]) == (8000, 2, 1000)
    assert told["providers"] == ["wasm"]
    assert told["data"] is None
    assert told["graph"] == {
        "file": "model.onnx",
        "bytes": len(files["model.onnx"]),
        "sha256": hashlib.sha256(files["model.onnx"]).hexdigest(),
    }


def test_weights_of_their_own(model: Path, tmp_path: Path) -> None:
    data = with_weights_beside(model)
    fails(run(model, "-o", tmp_path / "site"), 1, "its weights are missing; put tiny.onnx.data beside it")
    assert not (tmp_path / "site").exists()
    model.with_name("tiny.onnx.data").write_bytes(data)
    assert run(model, "-o", tmp_path / "site", "--quiet").stdout == ""
    assert (tmp_path / "site" / "tiny.onnx.data").read_bytes() == data
    told = json.loads((tmp_path / "site" / "model.json").read_text())["data"]
    assert (told["file"], told["bytes"]) == ("tiny.onnx.data", len(data))
    assert told["sha256"] == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("location", ["../song.data", "model.json", "index.html", "model.onnx", ".."])
def test_weights_stay_in_their_place(model: Path, location: str, tmp_path: Path) -> None:
    with_weights_beside(model, location)
    (tmp_path / "index.html").write_bytes(b"mine")
    fails(run(model, "-o", tmp_path / "site"), 1, "which is no name for them")


def test_weights_in_several_files(model: Path, tmp_path: Path) -> None:
    with_weights_beside(model, more="other.data")
    fails(run(model, "-o", tmp_path / "site"), 2, "keeps its weights in several files")


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"target": "portable"}, ("is for the target portable", "--target web")),
        ({"interface": "core"}, ("has the interface core", "compile untrained:tiny?seed=0 --target web")),
        ({"batch": "2"}, ("does not take one segment",)),
        ({"overlap": 0.25}, ("does not take one segment",)),
        ({"stopped_after": "decompose"}, ("does not take one segment",)),
    ],
)
def test_another_model(changes: dict[str, object], parts: tuple[str, ...], tmp_path: Path) -> None:
    model = TinyModel().save(tmp_path / "tiny.onnx", **({"target": "web"} | changes))
    fails(run(model, "-o", tmp_path / "site"), 2, *parts)
    assert not (tmp_path / "site").exists()


def test_no_separator(tmp_path: Path) -> None:
    model = TinyModel().save(tmp_path / "tiny.onnx", target="web", segment=0)
    fails(run(model, "-o", tmp_path / "site"), 1, "has no segment")


def test_no_model(tmp_path: Path) -> None:
    fails(run(tmp_path / "absent.onnx", "-o", tmp_path / "site"), 1, "no such file")
    (tmp_path / "text.onnx").write_bytes(b"text")
    fails(run(tmp_path / "text.onnx", "-o", tmp_path / "site"), 1, "not a model")
    other = onnx.load(TinyModel().save(tmp_path / "tiny.onnx", target="web"))
    del other.metadata_props[:]
    onnx.save(other, tmp_path / "other.onnx")
    fails(run(tmp_path / "other.onnx", "-o", tmp_path / "site"), 1, "was not made by onnx-demucs-compile")


def test_no_page(model: Path, page: Path, tmp_path: Path) -> None:
    (page / "index.html").unlink()
    fails(run(model, "-o", tmp_path / "site"), 1, "lacks the page", "make web")


def test_what_is_there_stays(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    fails(run(model, "-o", folder), 2, "exists; give --force")
    fails(run(model, "-o", folder, "--force"), 2, "has no model.json")
    fails(run(model, "-o", tmp_path / "absent" / "site"), 1, "does not exist")
    assert [file.name for file in folder.iterdir()] == ["mine.txt"]


def test_an_earlier_site_is_replaced(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    run(model, "-o", folder)
    (folder / "old.js").write_text("")
    assert run(model, "-o", folder, "--force").exit_code == 0
    assert not (folder / "old.js").exists()
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


@pytest.fixture
def server(model: Path, tmp_path: Path) -> Iterator[SiteServer]:
    run(model, "-o", tmp_path / "site")
    with SiteServer(tmp_path / "site", 0) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield served
        served.shutdown()


def answer(server: SiteServer, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)) as connection:
        connection.request(
            "GET", path, headers={name.replace("_", "-"): text for name, text in headers.items()}
        )
        response = connection.getresponse()
        return response, response.read()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/model.json", "application/json"),
        ("/model.onnx", "application/octet-stream"),
        ("/assets/ort.wasm", "application/wasm"),
    ],
)
def test_an_answer(server: SiteServer, path: str, kind: str) -> None:
    response, content = answer(server, path)
    assert response.status == 200
    assert response.headers["Content-Type"] == kind
    assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert response.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert response.headers["Content-Encoding"] is None
    assert int(response.headers["Content-Length"]) == len(content) > 0


def test_wasm_is_sent_compressed(server: SiteServer) -> None:
    response, content = answer(server, "/assets/ort.wasm?v=1", Accept_Encoding="gzip, br;q=1.0")
    assert response.headers["Content-Encoding"] == "br"
    assert response.headers["Content-Type"] == "application/wasm"
    assert content == SQUEEZED
    response, content = answer(server, "/assets/ort.wasm", Accept_Encoding="gzip")
    assert content == WASM


@pytest.mark.parametrize("path", ["/absent", "/assets/", "/../tiny.onnx", "/%2e%2e/tiny.onnx"])
def test_what_is_not_served(server: SiteServer, path: str) -> None:
    response, _ = answer(server, path, Accept_Encoding="br")
    assert response.status == 404
    assert response.headers["Content-Encoding"] is None


def test_a_port_in_use(model: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        fails(
            run(model, "-o", tmp_path / "site", "--serve", "--port", port),
            1,
            f"port {port} is in use",
            "--port",
        )
    assert not (tmp_path / "site").exists()


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_ctrl_c_ends_it_quietly(model: Path, page: Path, tmp_path: Path) -> None:
    code = (
        "import pathlib, sys; from onnx_demucs_compiler.web import site; "
        "site.PAGE = pathlib.Path(sys.argv.pop(1)); "
        "from onnx_demucs_compiler.__main__ import main; main()"
    )
    arguments = [page, "web", model, "-o", tmp_path / "site", "--serve", "--port", "0"]
    with subprocess.Popen(
        [sys.executable, "-u", "-c", code, *map(str, arguments)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("http://127.0.0.1:")
            process.send_signal(signal.SIGINT)
            told = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, *told) == (0, "", "")

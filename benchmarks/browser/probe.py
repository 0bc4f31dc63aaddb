"""onnxruntime-web in a real browser, asked about every form of an operator.

    npm install --prefix build/browser onnxruntime-web@1.30.0
    python benchmarks/browser/probe.py wasm [FORM ...]
    python benchmarks/browser/probe.py jsep
    python benchmarks/browser/probe.py webgpu

Each provider (WebAssembly, WebGPU in TypeScript, WebGPU in C++) is asked in a headless Chromium, WebGPU on
its software adapter, and compared with ONNX Runtime here. The table
(onnx_demucs_compiler/contracts/engines/web-PROVIDER.json) gets the verdicts of the installed version:
``right``, ``wrong`` with its SNR, ``refused``, ``ended`` where the page gave no answer in time, or
``on the CPU`` where it is right and the provider left a node to WebAssembly. The probes are those of the
other engines (benchmarks/engines/probes.json) and those of probes.json here. With FORM only those are asked
again. ``--model FILE`` asks about a whole graph instead, prints its SNR, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import queue
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "benchmarks" / "engines"))

from probes import feeds_of, model_of, probes  # noqa: E402

from onnx_demucs_compiler.artifact.reading import load_artifact  # noqa: E402
from onnx_demucs_compiler.checking.decibels import snr_db  # noqa: E402
from onnx_demucs_compiler.checking.fidelity import open_session  # noqa: E402
from onnx_demucs_compiler.contracts.engine import ENDED, FOLDER, REFUSED, RIGHT, WRONG  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

PACKAGE = ROOT / "build" / "browser" / "node_modules" / "onnxruntime-web"
HERE = Path(__file__).parent
PROVIDERS = ("wasm", "jsep", "webgpu")
PATIENCE = 120.0
LEAST_DB = 90.0
ON_THE_CPU = "on the CPU"
TYPES = {".html": "text/html", ".mjs": "text/javascript", ".wasm": "application/wasm"}
ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "no-store",
}


class Probe:
    """A model, its inputs, and what ONNX Runtime makes of them."""

    def __init__(self, form: str, model: onnx.ModelProto) -> None:
        self.form, self.model = form, model.SerializeToString()
        self.feeds = feeds_of(model)
        self.wanted: list[NDArray[Any]] = open_session(model).run(None, self.feeds)
        inputs = [{"name": name, "type": value.dtype.name, "shape": value.shape}
                  for name, value in self.feeds.items()]  # fmt: skip
        self.facts = {"inputs": inputs, "outputs": [value.name for value in model.graph.output]}

    def agreement(self, found: bytes) -> float:
        """The least SNR of an output in dB; -inf for none."""
        if len(found) != sum(value.nbytes for value in self.wanted):
            return -math.inf
        least, start = math.inf, 0
        for value in self.wanted:
            part = np.frombuffer(found[start : start + value.nbytes], value.dtype).reshape(value.shape)
            start += value.nbytes
            each = snr_db(value, part)
            least = min(least, -math.inf if math.isnan(each) else each)
        return least


def verdict(place: str, agreement: float) -> str:
    """The word for an answer."""
    if place == "refused":
        return REFUSED
    if agreement < LEAST_DB:
        return f"{WRONG} ({agreement:.1f} dB)" if math.isfinite(agreement) else WRONG
    return RIGHT if place == "there" else ON_THE_CPU


class Server(ThreadingHTTPServer):
    """Gives the page one probe at a time, and takes its answers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.probe: Probe | None = None
        self.asked: queue.Queue[Probe | None] = queue.Queue()
        self.answers: queue.Queue[tuple[str, bytes]] = queue.Queue()


class Handler(BaseHTTPRequestHandler):
    """The page, the package, and the probe of the moment."""

    server: Server

    def do_GET(self) -> None:
        """Send a file, or a probe's facts, model or input."""
        path = self.path.partition("?")[0]
        if path == "/next":
            self.server.probe = self.server.asked.get()
            facts = self.server.probe.facts if self.server.probe else None
            self._send(json.dumps(facts).encode(), "application/json")
        elif path == "/model" and self.server.probe:
            self._send(self.server.probe.model)
        elif path.startswith("/feed/") and self.server.probe:
            self._send(self.server.probe.feeds[path.removeprefix("/feed/")].tobytes())
        else:
            file = HERE / "probe.html" if path == "/" else PACKAGE / "dist" / Path(path).name
            if file.is_file():
                self._send(file.read_bytes(), TYPES.get(file.suffix, "text/plain"))
            else:
                self.send_error(404)

    def do_POST(self) -> None:
        """Take an answer."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.answers.put((self.path.rpartition("/")[2], body))
        self._send(b"")

    def _send(self, body: bytes, kind: str = "application/octet-stream") -> None:
        self.send_response(200)
        for name, value in {**ISOLATED, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextmanager
def browser(program: str, url: str) -> Iterator[None]:
    """A headless Chromium on a page."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        arguments = ["--headless=new", "--no-sandbox", "--enable-unsafe-webgpu", f"--user-data-dir={profile}"]
        process = subprocess.Popen(
            [program, *arguments, url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def asked(program: str, provider: str, questions: list[Probe]) -> Iterator[tuple[str, str, float]]:
    """The verdict on each probe and its SNR.

    The browser starts again where a page gives no answer.
    """
    while questions:
        # A server of its own for each browser: an earlier page may still wait at the earlier one.
        server = Server()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with browser(program, f"http://127.0.0.1:{server.server_port}/?provider={provider}"):
            while questions:
                probe = questions.pop(0)
                server.asked.put(probe)
                try:
                    place, found = server.answers.get(timeout=PATIENCE)
                except queue.Empty:
                    yield probe.form, ENDED, -math.inf
                    break
                agreement = probe.agreement(found)
                yield probe.form, verdict(place, agreement), agreement


def main() -> None:
    """Ask, and write the provider's table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("provider", choices=PROVIDERS)
    parser.add_argument("forms", nargs="*", metavar="FORM")
    parser.add_argument("--model", type=Path, metavar="FILE")
    parser.add_argument("--browser", default="chromium", metavar="PROGRAM")
    arguments = parser.parse_args()
    if arguments.model:
        whole = [Probe(arguments.model.name, load_artifact(arguments.model))]
        for name, word, agreement in asked(arguments.browser, arguments.provider, whole):
            print(f"{name}: {word}, {agreement:.1f} dB")
        return
    version = json.loads((PACKAGE / "package.json").read_text(encoding="utf-8"))["version"]
    own = json.loads((HERE / "probes.json").read_text(encoding="utf-8"))
    models = {form: model_of(text) for form, text in probes().items()}
    models |= {form: onnx.shape_inference.infer_shapes(onnx.parser.parse_model(text))
               for form, text in own.items()}  # fmt: skip
    questions = [Probe(form, models[form]) for form in arguments.forms or models]
    path = ROOT / "onnx_demucs_compiler" / "contracts" / FOLDER / f"web-{arguments.provider}.json"
    table = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    verdicts = table.get(version, {}) if arguments.forms else {}
    for form, word, _ in asked(arguments.browser, arguments.provider, questions):
        verdicts[form] = word
        print(f"{word:20} {form}", flush=True)
    table[version] = dict(sorted(verdicts.items()))
    table = {release: table[release] for release in sorted(table, key=Version)}
    path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""A local server of a site, with the headers that threads need."""

from __future__ import annotations

import errno
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler.errors import CompilerError

if TYPE_CHECKING:
    from io import BytesIO

LOOPBACK = "127.0.0.1"
BROTLI = ".br"

HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
"""The first two isolate the page, without which WebAssembly has one thread."""

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".wasm": "application/wasm",
}
"""By suffix; the system's own table is not asked, which may lack WebAssembly."""


class SiteServer(ThreadingHTTPServer):
    """Serves a folder on the loopback interface."""

    daemon_threads = True

    def __init__(self, folder: Path, port: int) -> None:
        """Take a port; 0 for any that is free.

        Raises:
            CompilerError: the port is not to be had.
        """
        self.folder = folder
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            reason = "is in use" if taken else f"cannot be had ({error.strerror})"
            raise CompilerError(f"port {port} {reason}; give another with --port") from error

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{LOOPBACK}:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over browsers that hang up in the middle of a file."""


class _Handler(SimpleHTTPRequestHandler):
    """Sends files, compressed where the browser takes that."""

    server: SiteServer
    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._encoded = False
        server: SiteServer = arguments[2]
        super().__init__(*arguments, directory=str(server.folder), **options)

    def translate_path(self, path: str) -> str:
        """The file for a path, compressed where that will do."""
        file = super().translate_path(path)
        self._encoded = self._takes_brotli() and Path(file + BROTLI).is_file()
        return file + BROTLI if self._encoded else file

    def guess_type(self, path: Any) -> str:
        """The type of the content, compressed or not."""
        name = str(path)
        plain = name.removesuffix(BROTLI) if self._encoded else name
        return TYPES.get(Path(plain).suffix, "application/octet-stream")

    def list_directory(self, path: Any) -> BytesIO | None:  # noqa: ARG002
        """Show no folders."""
        self.send_error(HTTPStatus.NOT_FOUND)
        return None

    def end_headers(self) -> None:
        """Add what every answer has."""
        if self._encoded:
            self.send_header("Content-Encoding", "br")
            self.send_header("Vary", "Accept-Encoding")
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Stay silent."""

    def _takes_brotli(self) -> bool:
        offered = self.headers.get("Accept-Encoding", "")
        return any(part.split(";")[0].strip() == "br" for part in offered.split(","))

"""Builds the clients that this machine has the tools for.

python examples/build_clients.py [--strict]

prints how each is run, or why it is left out; with ``--strict`` none may be.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import onnxruntime

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = Path(__file__).resolve().parent
CPP = EXAMPLES / "cpp"
UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT", "ECONNREFUSED", "ENETUNREACH", "Could not resolve",
               "Couldn't connect", "Connection refused", "timed out")  # fmt: skip


class Missing(Exception):  # noqa: N818  (it is no error of the client's)
    """What a client is built with is not on this machine."""


class BuildFailed(Exception):  # noqa: N818
    """Everything is there, and the client does not build."""


@dataclass(frozen=True)
class Client:
    """A client that is built.

    Attributes:
        command: what runs it, before its own arguments.
        environment: what it needs in its environment.
    """

    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            [*self.command, *map(str, arguments)],
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=False,
        )


def build_cpp(program: str = "separate") -> Client:
    """A program of the C++ client, against :func:`onnxruntime_root`."""
    return _built_by_cmake(program, CPP / "build")


def build_openvino() -> Client:
    """The C++ client of OpenVINO, against the package that ``make engines`` installs."""
    engines = EXAMPLES.parent / "build" / "engines" / "openvino"
    found = [*engines.glob("lib/python*/site-packages/openvino/cmake")]
    if not found:
        raise Missing("no build/engines/openvino; make engines ENGINES=openvino installs it")
    return _built_by_cmake("openvino", CPP / "build" / "for-openvino", f"-DOpenVINO_DIR={found[0]}")


def _built_by_cmake(program: str, folder: Path, *options: str) -> Client:
    _need("cmake", "c++", "pkg-config")
    for package in ("sndfile", "nlohmann_json", *(["kissfft-float"] if program == "golden" else [])):
        if subprocess.run(["pkg-config", "--exists", package], check=False).returncode:
            raise Missing(f"pkg-config knows no {package}")
    _run("cmake", "-S", CPP, "-B", folder, f"-DONNXRUNTIME_ROOT={onnxruntime_root()}", *options)
    _run("cmake", "--build", folder, "--target", program)
    return Client((str(folder / program),))


def onnxruntime_root() -> Path:
    """ONNX Runtime: ``ONNXRUNTIME_ROOT``, or what ``examples/cpp/onnxruntime-root`` puts together."""
    if given := os.environ.get("ONNXRUNTIME_ROOT"):
        return Path(given)
    _need("apt-get", "dpkg-deb")
    root = CPP / "build" / "onnxruntime"
    try:
        _run(CPP / "onnxruntime-root", root, PYTHON=sys.executable)
    except BuildFailed as error:
        raise Missing(f"ONNX Runtime's headers: {str(error).splitlines()[-1]}") from error
    return root


def build_node() -> Client:
    """The Node client, against the library in npm's package."""
    _need("node", "npm")
    folder = EXAMPLES / "node"
    # Without its script, which looks for CUDA.
    _run("npm", "--prefix", folder, "install", "--ignore-scripts", "--no-audit", "--no-fund")
    return Client(("node", str(folder / "separate.js")))


def build_rust() -> Client:
    """The Rust client, which loads the library of the Python package."""
    _need("cargo")
    folder = EXAMPLES / "rust"
    _run("cargo", "build", "--release", "--manifest-path", folder / "Cargo.toml", CARGO_NET_RETRY="0")
    return Client((str(folder / "target" / "release" / "separate"),), {"ORT_DYLIB_PATH": str(_library())})


BUILDERS: dict[str, Callable[[], Client]] = {
    "cpp": build_cpp,
    "openvino": build_openvino,
    "node": build_node,
    "rust": build_rust,
}


def _library() -> Path:
    """ONNX Runtime's library in the Python package."""
    capi = Path(onnxruntime.__file__).parent / "capi"
    [library] = [*capi.glob("libonnxruntime.so.*"), *capi.glob("libonnxruntime.*.dylib")]
    return library


def _need(*programs: str) -> None:
    if missing := [program for program in programs if shutil.which(program) is None]:
        raise Missing(f"no {', '.join(missing)} on this machine")


def _run(*command: object, **environment: str) -> None:
    words = [str(word) for word in command]
    finished = subprocess.run(
        words,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if finished.returncode and any(sign in finished.stdout for sign in UNREACHABLE):
        raise Missing(f"{words[0]} does not reach its package registry")
    if finished.returncode:
        raise BuildFailed(f"{shlex.join(words)}:\n{finished.stdout.strip()}")


def main() -> None:
    """Build them all."""
    left_out = False
    for name, build in BUILDERS.items():
        try:
            client = build()
        except Missing as reason:
            left_out = True
            print(f"{name}: left out: {reason}")
        else:
            settings = [f"{key}={value}" for key, value in client.environment.items()]
            print(f"{name}: {shlex.join([*settings, *client.command])}")
    if left_out and "--strict" in sys.argv:
        sys.exit("not all clients are built")


if __name__ == "__main__":
    main()

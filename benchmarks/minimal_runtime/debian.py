"""Source archives and build tools from Debian, unpacked without root.

apt keeps its lists, its cache and its idea of what is installed in a folder of ours: source archives are
downloaded, and packages of headers and tools are unpacked, not installed. The mirror is the one that the
machine's apt uses, or Debian's own.
"""

from __future__ import annotations

import hashlib
import platform
import re
import subprocess
from pathlib import Path

SUITE = "trixie"
"""Where the sources and the headers come from."""

DEFAULT_MIRROR = "http://deb.debian.org/debian"
APT = Path("/etc/apt")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

SOURCE_PACKAGES = ("onnxruntime", "protobuf", "abseil", "re2", "flatbuffers", "onnx", "eigen3")
PINNED = Path(__file__).with_name("archives.sha256").read_text().splitlines()
ARCHIVES = {name: digest for digest, name in map(str.split, PINNED)}
"""The upstream archives that ONNX Runtime 1.21.0 pins, and their SHA-256."""

HEADER_PACKAGES = (
    "libboost1.83-dev",
    "libdate-tz3",
    "libhowardhinnant-date-dev",
    "libmsgsl-dev",
    "libsafeint-dev",
    "nlohmann-json3-dev",
)
TOOL_PACKAGES = ("protobuf-compiler", "ccache")
"""From the machine's own suite, since they run here; with the libraries of :data:`TOOL_LIBRARIES`."""
TOOL_LIBRARIES = re.compile(r"^\s*(?:Pre)?Depends: (libproto\S+|libhiredis\S+)", re.MULTILINE)


class Debian:
    """apt with everything that it writes in one folder."""

    def __init__(self, folder: Path) -> None:
        """Read the lists of packages into ``folder``."""
        self._folder = folder
        for part in ("lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        self._host_suite = _os_release().get("VERSION_CODENAME", SUITE)
        suites = {SUITE: "deb deb-src", self._host_suite: "deb"} | {SUITE: "deb deb-src"}
        signed = f"Signed-By: {KEYRING}\n" if KEYRING.exists() else ""
        (folder / "debian.sources").write_text(
            "\n".join(
                f"Types: {types}\nURIs: {mirror()}\nSuites: {suite}\nComponents: main\n{signed}"
                for suite, types in suites.items()
            )
        )
        self._apt("apt-get", "update", "-qq")

    def download_archives(self, folder: Path) -> None:
        """Put the source archives into ``folder``; refuse any but those pinned."""
        folder.mkdir(parents=True, exist_ok=True)
        if not all((folder / name).exists() for name in ARCHIVES):
            self._apt("apt-get", "source", "-qq", "--download-only", "--tar-only",
                      *(f"{package}/{SUITE}" for package in SOURCE_PACKAGES), folder=folder)  # fmt: skip
        for name, pinned in ARCHIVES.items():
            found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            if found != pinned:
                raise SystemExit(f"{folder / name}: SHA-256 is {found}, not the pinned {pinned}")

    def unpack_packages(self, packages: Path, root: Path) -> None:
        """Download the packages of headers and tools, and unpack them under ``root``."""
        packages.mkdir(parents=True, exist_ok=True)
        wanted = [f"{name}/{SUITE}" for name in HEADER_PACKAGES]
        for tool in TOOL_PACKAGES:
            depends = self._apt("apt-cache", "depends", f"{tool}/{self._host_suite}")
            wanted += [f"{name}/{self._host_suite}" for name in (tool, *TOOL_LIBRARIES.findall(depends))]
        self._apt("apt-get", "download", "-qq", *wanted, folder=packages)
        for package in sorted(packages.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", package, root], check=True)

    def _apt(self, *command: str, folder: Path | None = None) -> str:
        settings = {
            "Dir::Etc::SourceList": self._folder / "debian.sources",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": self._folder / "lists",
            "Dir::State::Status": self._folder / "status",
            "Dir::Cache": self._folder / "cache",
            "APT::Sandbox::User": "root",
        }
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        program, *arguments = command
        return subprocess.run(
            [program, *options, *arguments], check=True, cwd=folder, stdout=subprocess.PIPE, text=True
        ).stdout


def mirror() -> str:
    """The Debian mirror of the machine's apt, or Debian's own."""
    files = [APT / "sources.list", *sorted((APT / "sources.list.d").glob("*.sources"))]
    files += sorted((APT / "sources.list.d").glob("*.list"))
    for file in files:
        text = file.read_text() if file.exists() else ""
        found = re.search(r"^(?:URIs:|deb\s(?:\[.*?\])?)\s*(\S+/debian)/?(?:\s|$)", text, re.MULTILINE)
        if found:
            return found[1]
    return DEFAULT_MIRROR


def distribution() -> str:
    """The machine's distribution, as it calls itself."""
    return _os_release().get("PRETTY_NAME", platform.platform())


def _os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}

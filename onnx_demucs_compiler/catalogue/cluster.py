"""Ray: a cluster of this machine, or a connection to one."""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import sys
import threading
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from onnx_demucs_compiler.errors import CompilerError, UsageError, first_line
from onnx_demucs_compiler.runtime.cores import usable_cores
from onnx_demucs_compiler.runtime.stderr import heard, unheard

if TYPE_CHECKING:
    from collections.abc import Iterator

INSTALL = "pip install 'onnx-demucs-runtime[ray]'"

MOST_THREADS = 4
"""Of a worker, unless told otherwise; more workers gain more from more cores."""

CONNECT_SECONDS = 10.0

GPUS = ("cuda", "tensorrt")
"""Devices of which a worker gets one for itself."""


@dataclass(frozen=True)
class Cluster:
    """The cluster that is asked for.

    Attributes:
        address: ``HOST:PORT`` of a head, or ``auto``; None for this machine alone.
        workers: how many, at most; as many as there is room for when None.
        threads: of each; up to :data:`MOST_THREADS` when None.
    """

    address: str | None = None
    workers: int | None = None
    threads: int | None = None


@dataclass(frozen=True)
class Room:
    """The workers that a cluster has room for.

    Attributes:
        threads: of each.
        cpus: of Ray's counting that each takes. On this machine they are its workers, whatever their threads.
        least: that are started at once.
        most: that may be started, where a cluster grows.
    """

    threads: int
    cpus: int
    least: int
    most: int


def check_installed() -> None:
    """Fail early without Ray.

    Raises:
        CompilerError: it, or what it takes for data, is not installed.
    """
    try:
        import ray.data  # noqa: F401
    except ImportError as error:
        raise CompilerError(f"--ray needs Ray: {INSTALL} ({first_line(error)})") from error


@contextmanager
def connected(cluster: Cluster, device: str) -> Iterator[Room]:
    """Start a cluster on this machine, or connect to one.

    It lasts as long as the context, and prints nothing.

    Args:
        cluster: which.
        device: of every worker, by its name.

    Raises:
        CompilerError: there is no cluster at that address, or Ray does not start.
        UsageError: no machine has room for a worker.
    """
    import ray

    with _quiet():
        handler = signal.getsignal(signal.SIGTERM)
        try:
            _connect(ray, cluster)
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, handler)  # Ray's own would end the program without a word
            yield _room(ray.nodes(), cluster, device)
        finally:
            with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
                ray.shutdown()  # prints what it held back


def _connect(ray: Any, cluster: Cluster) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    address = cluster.address or "local"
    if cluster.address is None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        options |= {"num_cpus": _share(cluster, usable_cores())[0], "include_dashboard": False}
    else:
        _check_reachable(address)
    try:
        ray.init(address, **options)
    except ConnectionError as error:
        raise CompilerError(f"{address}: no Ray cluster can be reached there") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise CompilerError(f"Ray cannot start or be reached ({address}): {first_line(error)}") from error


def _check_reachable(address: str) -> None:
    """Fail at once where nobody listens; Ray would try for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        if address == "auto":
            return
        raise UsageError(f"{address} is no address of a Ray cluster; give HOST:PORT or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise CompilerError(
            f"{address}: no Ray cluster can be reached there ({first_line(error)})"
        ) from error


def _share(cluster: Cluster, cores: int) -> tuple[int, int]:
    """The workers that share this machine's cores, and the threads of each."""
    threads = cluster.threads or max(
        1, cores // cluster.workers if cluster.workers else min(MOST_THREADS, cores)
    )
    return cluster.workers or max(1, cores // threads), threads


def _room(nodes: list[dict[str, Any]], cluster: Cluster, device: str) -> Room:
    """The workers for which the machines have cores, and GPUs if asked."""
    resources = [node["Resources"] for node in nodes if node["Alive"]]
    cores = [math.floor(each.get("CPU", 0)) for each in resources]
    if cluster.address is None:
        threads, cpus = _share(cluster, usable_cores())[1], 1
    else:
        threads = cpus = cluster.threads or min([MOST_THREADS, *filter(None, cores)])
    fitting = [count // cpus for count in cores]
    if device in GPUS:
        gpus = [math.floor(each.get("GPU", 0)) for each in resources]
        fitting = [min(pair) for pair in zip(fitting, gpus, strict=True)]
    count = sum(fitting)
    if not count:
        needed = f"{cpus} cores and a GPU" if device in GPUS else f"{cpus} cores"
        raise UsageError(f"no machine has {needed} for a worker; ask for less")
    return Room(threads, cpus, min(count, cluster.workers or count), cluster.workers or count)


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave the terminal to this thread.

    Ray prints from others, and from native code.
    """
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    with heard(), unheard():
        own = _OwnThread.of(sys.stdout), _OwnThread.of(sys.stderr)
        with redirect_stdout(own[0]), redirect_stderr(own[1]):
            yield


class _OwnThread:
    """A stream that only the thread writes to which made it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._thread = stream, threading.get_ident()

    @classmethod
    def of(cls, stream: TextIO) -> TextIO:
        return cast("TextIO", cls(stream))

    def write(self, text: str) -> int:
        return self._stream.write(text) if threading.get_ident() == self._thread else len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

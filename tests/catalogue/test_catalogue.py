"""Catalogues on Ray: whatever dies, every stem is there once, and what it is on one machine."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from catalogue_examples import (
    MODEL,
    busy_worker,
    contents,
    kill,
    left_over,
    manifests,
    separate,
    start,
    wait_for,
    workers,
    write_long_song,
    write_songs,
)

pytestmark = [pytest.mark.ray, pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")]


def finished(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    told, errors = process.communicate(timeout=240)
    return process.returncode, told, errors


def test_stems_are_those_of_one_machine_and_nothing_else_is_printed(
    artifact: Path, library: Path, single: Path, out: Path, temporary: Path
) -> None:
    summary = out.parent / "summary.json"
    arguments = [library, "-o", out, "--ray", "--workers", "2", "--summary", summary]
    ended = separate(artifact, *arguments, temporary=temporary)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert contents(out) == contents(single)
    assert sorted(ended.stdout.splitlines()) == sorted(map(str, out.rglob("*.wav")))
    told = json.loads(summary.read_text())
    assert [song["song"] for song in told["songs"]] == sorted(map(str, library.rglob("*.wav")), key=in_order)
    assert told["failed"] == []
    assert left_over(temporary) == []


def in_order(song: str) -> tuple[str, str]:
    return Path(song).parent.name, Path(song).name


def test_two_killed_workers_cost_no_song(artifact: Path, tmp_path: Path, out: Path, temporary: Path) -> None:
    library = write_songs(tmp_path / "library", 12, 60)
    with start(artifact, library, "-o", out, "--ray", "--workers", "2", temporary=temporary) as process:
        for done in (2, 6):
            wait_for(lambda done=done: len(manifests(out)) >= done)
            kill(busy_worker(temporary))
        code, _, errors = finished(process)
    assert (code, errors) == (0, "")
    alone = tmp_path / "alone"
    assert separate(artifact, library, "-o", alone, temporary=temporary).returncode == 0
    assert contents(out) == contents(alone)
    assert left_over(temporary) == []


def test_a_song_that_kills_its_workers_is_given_up_alone(
    artifact: Path, tmp_path: Path, out: Path, temporary: Path
) -> None:
    write_long_song(tmp_path / "long.wav", 3600)
    short = write_songs(tmp_path / "library", 3)
    arguments = [tmp_path / "long.wav", short, "-o", out, "--ray", "--workers", "1", "--json"]
    with start(artifact, *arguments, temporary=temporary) as process:
        for _ in range(4):
            kill(killed := busy_worker(temporary))
            wait_for(lambda killed=killed: killed not in workers(temporary))
        code, told, errors = finished(process)
    assert code == 1
    [line] = errors.splitlines()
    assert line.startswith(f"error: 1 of 4 songs failed: {tmp_path / 'long.wav'}: its worker died 4 times")
    assert [song["skipped"] for song in json.loads(told)["songs"]] == [False] * 3
    assert len(manifests(out)) == 3


def test_a_killed_command_is_resumed(
    artifact: Path, library: Path, single: Path, out: Path, temporary: Path
) -> None:
    arguments = [library, "-o", out, "--ray", "--workers", "2", "--json"]
    with start(artifact, *arguments, temporary=temporary) as process:
        wait_for(lambda: len(manifests(out)) >= 3)
        kill(process.pid)
        finished(process)
    wait_for(lambda: not workers(temporary))
    done = len(manifests(out))
    assert done < 30
    ended = separate(artifact, *arguments, "--resume", temporary=temporary)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert sum(song["skipped"] for song in json.loads(ended.stdout)["songs"]) == done
    assert contents(out) == contents(single)
    assert left_over(temporary) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(
    number: signal.Signals, artifact: Path, tmp_path: Path, out: Path, temporary: Path
) -> None:
    write_long_song(tmp_path / "long.wav", 3600)
    arguments = [tmp_path / "long.wav", "-o", out, "--ray", "--workers", "1"]
    with start(artifact, *arguments, temporary=temporary) as process:
        busy_worker(temporary)
        process.send_signal(number)
        code, _, errors = finished(process)
    word = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}[number]
    assert (code, errors) == (128 + number, f"error: {word}; no partial file was left\n")
    assert not out.exists() or contents(out) == {}
    assert left_over(temporary) == []


def test_songs_that_fail_are_named(artifact: Path, library: Path, out: Path, temporary: Path) -> None:
    folder = out.parent / "some"
    shutil.copytree(library / "0", folder)
    (folder / "broken.wav").write_bytes((folder / "0.wav").read_bytes()[:20])
    (folder / "named .wav").write_bytes(b"")
    arguments = [folder, out.parent / "absent.wav", "-o", out, "--ray", "--workers", "2"]
    ended = separate(artifact, *arguments, temporary=temporary)
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith("error: 3 of 6 songs failed: ")
    for part in ("broken.wav: cannot be read as audio", "can be called 'named '", "absent.wav: no such file"):
        assert part in line
    assert len(manifests(out)) == 3
    shutil.copy(folder / "0.wav", folder / "broken.wav")
    resumed = separate(
        artifact, folder, "-o", out, "--ray", "--workers", "2", "--resume", temporary=temporary
    )
    assert "1 of 5 songs failed" in resumed.stderr
    assert len(manifests(out)) == 4


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--two-stems", "piano"], 2, "piano"),
        (["--overlap", "2"], 2, "overlap"),
        (["--ray", "-o", "absent/out"], 1, "the folder above it does not exist"),
        (["--ray-address", "127.0.0.1:1"], 1, "127.0.0.1:1: no Ray cluster can be reached there"),
        (["--ray-address", "auto"], 1, "auto: no Ray cluster can be reached there"),
        (["--ray-address", "nowhere"], 2, "nowhere is no address of a Ray cluster"),
    ],
)
def test_wrong_usage(
    arguments: list[str], code: int, message: str, artifact: Path, library: Path, out: Path, temporary: Path
) -> None:
    ended = separate(artifact, library, "-o", out, "--ray", *arguments, temporary=temporary)
    assert ended.returncode == code
    [line] = ended.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line


class Disks:
    """Small disks, for root."""

    def __init__(self) -> None:
        self._mounted: list[Path] = []

    def mount(self, folder: Path, size: str) -> Path:
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("needs the right to mount a tmpfs")
        self._mounted.append(folder)
        return folder

    def unmount(self) -> None:
        for folder in self._mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def disks() -> Iterator[Disks]:
    disks = Disks()
    yield disks
    disks.unmount()


@pytest.fixture
def two_machines(tmp_path: Path, disks: Disks) -> Iterator[tuple[str, Any]]:
    """A cluster of two nodes, one of which has little room for what is temporary."""
    from ray.cluster_utils import Cluster

    small = disks.mount(tmp_path / "small", "600k")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    bad = cluster.add_node(num_cpus=1, env_vars={**os.environ, "TMPDIR": str(small)})
    yield cluster.address, lambda: cluster.remove_node(bad)
    cluster.shutdown()


def test_a_full_disk_of_one_machine_costs_its_own_songs(
    two_machines: tuple[str, Any], artifact: Path, tmp_path: Path, out: Path, temporary: Path
) -> None:
    address, repair = two_machines
    library = write_songs(tmp_path / "library", 12, 4)
    arguments = [library, "-o", out, "--ray-address", address, "--threads", "1"]
    ended = separate(artifact, *arguments, temporary=temporary)
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    failed = line.count(" is full (")
    assert line.startswith(f"error: {failed} of 12 songs failed: ")
    assert 1 <= failed <= 4
    assert len(manifests(out)) == 12 - failed
    repair()
    assert separate(artifact, *arguments, "--resume", temporary=temporary).returncode == 0
    alone = tmp_path / "alone"
    assert separate(artifact, library, "-o", alone, temporary=temporary).returncode == 0
    assert contents(out) == contents(alone)


def test_a_full_disk_of_this_machine_stops_all(
    disks: Disks, artifact: Path, tmp_path: Path, out: Path
) -> None:
    library = write_songs(tmp_path / "library", 12, 4)
    small = disks.mount(tmp_path / "small", "600k")
    ended = separate(artifact, library, "-o", out, "--ray", "--workers", "1", temporary=small)
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.endswith(f" is full ({small})")
    assert contents(out) == {}


def test_a_full_disk_for_stems_stops_all(
    disks: Disks, artifact: Path, tmp_path: Path, temporary: Path
) -> None:
    library = write_songs(tmp_path / "library", 12, 4)
    small = disks.mount(tmp_path / "small", "800k")
    ended = separate(artifact, library, "-o", small / "out", "--ray", "--workers", "2", temporary=temporary)
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith(f"error: the disk is full: {small / 'out' / MODEL}")
    assert not [name for name in contents(small) if "/.onnx-demucs" in name]
    assert {Path(name).parent for name in contents(small)} == {
        path.parent.relative_to(small) for path in manifests(small)
    }

"""Catalogues in object stores, of which moto plays one."""

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from catalogue_examples import ROOT, contents, separate, wait_for

pytestmark = pytest.mark.ray
SERVER = ROOT / "build" / "moto" / "bin" / "moto_server"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "somebody",
    "AWS_SECRET_ACCESS_KEY": "something",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture(autouse=True, scope="module")
def credentials() -> Iterator[None]:
    if not SERVER.exists():
        pytest.skip("needs moto: make ray")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield


class Store:
    """A store with a bucket."""

    def __init__(self, endpoint: str) -> None:
        from pyarrow import fs

        self._endpoint = endpoint
        self.files: Any = fs.S3FileSystem(
            endpoint_override=endpoint, scheme="http", region="us-east-1", allow_bucket_creation=True
        )

    def uri(self, path: str) -> str:
        return f"s3://bucket/{path}?endpoint_override={self._endpoint}&scheme=http&region=us-east-1"

    def upload(self, source: Path, path: str) -> str:
        from pyarrow import fs

        for file in [source] if source.is_file() else source.rglob("*.*"):
            name = path if source.is_file() else f"{path}/{file.relative_to(source).as_posix()}"
            fs.copy_files(str(file), f"bucket/{name}", destination_filesystem=self.files)
        return self.uri(path)

    def download(self, path: str, to: Path) -> dict[str, bytes]:
        from pyarrow import fs

        to.mkdir()
        fs.copy_files(f"bucket/{path}", str(to), source_filesystem=self.files)
        return contents(to)


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Start a server with environment variables, and give its address."""
    with_servers: list[subprocess.Popen[bytes]] = []

    def start(**variables: str) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with (tmp_path_factory.mktemp("server") / "log").open("wb") as log:
            words = [SERVER, "-H", "127.0.0.1", "-p", str(port)]
            with_servers.append(
                subprocess.Popen(words, env={**os.environ, **variables}, stdout=log, stderr=log)
            )
        wait_for(lambda: answers(port), 60)
        return f"127.0.0.1:{port}"

    yield start
    for server in with_servers:
        server.terminate()
        server.wait()


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def store(serve: Callable[..., str]) -> Store:
    store = Store(serve())
    store.files.create_dir("bucket")
    return store


def test_from_a_store_into_a_store(
    store: Store, artifact: Path, library: Path, single: Path, tmp_path: Path, temporary: Path
) -> None:
    model, songs = store.upload(artifact, "models/tiny.onnx"), store.upload(library, "library")
    arguments = [model, songs, "-o", store.uri("out"), "--ray", "--workers", "2", "--json"]
    ended = separate(*arguments, temporary=temporary)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert store.download("out", tmp_path / "out") == contents(single)
    [first, *_] = json.loads(ended.stdout)["songs"]
    assert first["song"] == "s3://bucket/library/0/0.wav"
    assert first["files"]["bass"] == "s3://bucket/out/untrained_tiny_seed=0/0/0/bass.wav"

    cut = "bucket/out/untrained_tiny_seed=0/0/0/bass.wav"
    with store.files.open_output_stream(cut) as stream:
        stream.write(b"RIFF")
    resumed = separate(*arguments, "--resume", temporary=temporary)
    assert [song["skipped"] for song in json.loads(resumed.stdout)["songs"]] == [False, *[True] * 29]
    assert store.download("out", tmp_path / "again") == contents(single)


def test_songs_that_are_not_there_are_named(
    store: Store, artifact: Path, library: Path, out: Path, temporary: Path
) -> None:
    there, absent = store.upload(library / "0" / "0.wav", "one.wav"), store.uri("absent.wav")
    ended = separate(artifact, there, absent, "-o", out, "--ray", "--workers", "1", temporary=temporary)
    assert (ended.returncode, ended.stderr) == (
        1,
        "error: 1 of 2 songs failed: s3://bucket/absent.wav: no such file\n",
    )
    assert len(list(out.rglob("*.wav"))) == 3


def test_a_folder_that_is_not_there(store: Store, artifact: Path, out: Path, temporary: Path) -> None:
    ended = separate(artifact, store.uri("nothing"), "-o", out, "--ray", temporary=temporary)
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith("error: s3://bucket/nothing: the folder cannot be read")


def test_songs_of_a_store_are_found_as_on_a_disk(store: Store, library: Path, tmp_path: Path) -> None:
    from onnx_demucs_compiler.catalogue import Location, find_catalogue

    song = library / "0" / "0.wav"
    for name in ("a/1.wav", "a/b/2.wav", "a/.hidden.wav", "a/cover.jpg", "a/out/3.wav", "a/stems/bass.wav"):
        store.upload(song, f"found/{name}")
    store.upload(song, "found/a/stems/stems.json")
    listed = f"# a list\n{store.uri('found/a/1.wav')}\n{song}\n"
    found = find_catalogue([store.uri("found")], listed, Location.of(store.uri("found/a/out")))
    assert [(each.shown, each.place) for each in found] == [
        ("s3://bucket/found/a/1.wav", "a/1.wav"),
        ("s3://bucket/found/a/b/2.wav", "a/b/2.wav"),
        ("s3://bucket/found/a/1.wav", "1.wav"),
        (str(song), "0.wav"),
    ]
    assert {each.size for each in found} == {song.stat().st_size}


@pytest.fixture(scope="module")
def closed(serve: Callable[..., str]) -> Store:
    """A store that knows nobody."""
    return Store(serve(INITIAL_NO_AUTH_ACTION_COUNT="0"))


def test_refused_credentials_are_told_for_every_song(
    closed: Store, artifact: Path, library: Path, temporary: Path
) -> None:
    arguments = [artifact, library / "0", "-o", closed.uri("out"), "--ray", "--workers", "2"]
    ended = separate(*arguments, temporary=temporary)
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith("error: 3 of 3 songs failed: ")
    for song in (library / "0").iterdir():
        assert f"{song}: the stems cannot be written to s3://bucket/out/" in line
    assert "AWS Error" in line
    listing = separate(artifact, closed.uri("music"), "-o", "out", "--ray", temporary=temporary)
    assert listing.returncode == 1
    [line] = listing.stderr.splitlines()
    assert line.startswith("error: s3://bucket/music: the folder cannot be read (")
    assert "AWS Error" in line


def test_any_file_system_of_fsspec(
    artifact: Path, library: Path, single: Path, out: Path, temporary: Path
) -> None:
    """It renames what is complete, since it may not be a store of whole objects."""
    arguments = [f"fsspec+file://{library}", "-o", f"fsspec+file://{out}", "--ray", "--workers", "1"]
    ended = separate(artifact, *arguments, temporary=temporary)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert contents(out) == contents(single)

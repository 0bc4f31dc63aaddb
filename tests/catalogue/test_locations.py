"""Places of files, here and in stores."""

from pathlib import Path

import pytest

from onnx_demucs_compiler.catalogue import Location


@pytest.mark.parametrize(
    ("text", "store", "path", "shown"),
    [
        ("music/a b.wav", "", "music/a b.wav", "music/a b.wav"),
        ("C:/music/a.wav", "", "C:/music/a.wav", "C:/music/a.wav"),
        ("file:///music/a.wav", "", "/music/a.wav", "/music/a.wav"),
        ("s3://bucket/a/What? #1 50%.wav", "s3://bucket/", "a/What? #1 50%.wav", None),
        ("s3://bucket", "s3://bucket/", "", "s3://bucket/"),
        ("s3://id:secret@bucket/a/", "s3://id:secret@bucket/", "a", "s3://bucket/a"),
        ("s3://b/a.wav?region=x&scheme=http", "s3://b/?region=x&scheme=http", "a.wav", "s3://b/a.wav"),
        ("fsspec+sftp://host/a", "fsspec+sftp://host/", "a", "fsspec+sftp://host/a"),
    ],
)
def test_uris(text: str, store: str, path: str, shown: str | None) -> None:
    location = Location.of(text)
    assert (location.store, location.path) == (store, path)
    assert str(location) == (shown or text)
    assert location.is_local == (store == "")


def test_below() -> None:
    folder = Location.of("s3://bucket/music?region=x")
    assert str(folder / "a/b.wav") == "s3://bucket/music/a/b.wav"
    assert (folder / "a").is_below(folder)
    assert not Location.of("s3://bucket/musical?region=x").is_below(folder)
    assert Location.of("out") / "a" == Location(str(Path("out", "a")))
    assert Location.of("s3://bucket") / "a" == Location("a", "s3://bucket/")

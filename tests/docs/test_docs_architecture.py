"""What docs/architecture.md says of the artefact and of the folders."""

import re

from markdown_blocks import ROOT

from onnx_demucs_compiler.metadata import ArtifactMetadata

TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_every_metadata_key_is_documented() -> None:
    section = TEXT.partition("## Metadata of the artefact\n")[2].partition("\n## ")[0]
    metadata = ArtifactMetadata(
        sources=(),
        sample_rate=0,
        audio_channels=0,
        segment=0,
        interface="waveform",
        precision="fp32",
        target="portable",
        model="",
        weights="",
        rules=(),
        versions=(),
    )
    assert re.findall(r"^\| `([\w.]+)` \|", section, re.MULTILINE) == list(metadata.to_props())


def test_files_of_the_engine_exist() -> None:
    section = TEXT.partition("## Folders\n")[2].partition("\n## ")[0]
    names = re.findall(r"^  ([\w./ ]+?)  +\S", section, re.MULTILINE)
    assert names
    for name in " ".join(names).split():
        assert (ROOT / "onnx_demucs_compiler" / name).exists(), name

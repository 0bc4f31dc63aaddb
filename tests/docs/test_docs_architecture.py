"""What docs/architecture.md says of the artifact and of the folders."""

import re

from markdown_blocks import ROOT

from onnx_demucs_compiler.artifact.metadata import ArtifactMetadata
from onnx_demucs_compiler.view.ports import INTERFACES

TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_every_metadata_key_is_documented() -> None:
    section = TEXT.partition("## Metadata of the artifact\n")[2].partition("\n## ")[0]
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


def test_the_ports_of_every_interface_are_documented() -> None:
    section = TEXT.partition("## Interfaces\n")[2].partition("\n## ")[0]
    rows = [
        f"| `{name}` | {', '.join(f'`{port}`' for port in interface.inputs)} | "
        f"{', '.join(f'`{port}`' for port in interface.outputs)} |"
        for name, interface in INTERFACES.items()
    ]
    assert [line for line in section.splitlines() if line.startswith("| `")] == rows


def test_files_of_the_engine_exist() -> None:
    section = TEXT.partition("## Folders\n")[2].partition("\n## ")[0]
    names = re.findall(r"^  ([\w./ ]+?)  +\S", section, re.MULTILINE)
    assert names
    for name in " ".join(names).split():
        assert (ROOT / "onnx_demucs_compiler" / name).exists(), name

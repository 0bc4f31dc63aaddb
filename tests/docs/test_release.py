"""``make release`` stops before any work where the version and the changelog do not agree."""

import shutil
import subprocess
from pathlib import Path

import pytest
from markdown_blocks import ROOT

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="the script is for bash")


@pytest.mark.parametrize(
    ("version", "section", "message"),
    [
        ("0.2", "[0.2] - 2026-01-31", "_version.py: '0.2' is not X.Y.Z"),
        ("0.2.0", "[Unreleased]", "CHANGELOG.md has no section [0.2.0] - YYYY-MM-DD"),
        ("0.2.0", "[0.2.0]", "CHANGELOG.md has no section [0.2.0] - YYYY-MM-DD"),
        ("0.2.0", "[0.2.0] - 2026-01-31", "pyproject.toml does not ask for onnx-demucs-runtime==0.2.0"),
    ],
)
def test_a_release_has_a_version_and_its_section(
    tmp_path: Path, version: str, section: str, message: str
) -> None:
    for folder in (".ci", "onnx_demucs_compiler"):
        (tmp_path / folder).mkdir()
    script = shutil.copy(ROOT / ".ci" / "release", tmp_path / ".ci")
    (tmp_path / "onnx_demucs_compiler" / "_version.py").write_text(f'__version__ = "{version}"\n')
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## {section}\n")
    (tmp_path / "pyproject.toml").write_text('"onnx-demucs-runtime==0.1.0"')
    ended = subprocess.run(["bash", script], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr.startswith(message)

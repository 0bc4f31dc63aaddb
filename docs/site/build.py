"""The documentation as a site: ``python docs/site/build.py OUTPUT``.

Mermaid's pictures stay text, and nothing is loaded from elsewhere, so that the pages work without a network.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    "*.md",
    "docs/**/*.md",
    "docs/images/*",
    "examples/README.md",
    "examples/*/README.md",
    "web/*/README.md",
    "findings/README.md",
)
REFERENCE = {
    "compiler": "onnx_demucs_compiler",
    "runtime": "onnx_demucs_compiler.runtime",
    "rules": "onnx_demucs_compiler.rules",
    "targets": "onnx_demucs_compiler.targets",
    "testing": "onnx_demucs_compiler.testing",
}
LINK = re.compile(r"\[([^\]]*)\]\((?!\w+:)([^)#\s]+)([^)\s]*)\)")


def stage(folder: Path) -> None:
    """Copy the pages, and write one of the reference for each public module."""
    for source in sorted({path for pattern in PAGES for path in ROOT.glob(pattern)}):
        target = folder / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    for page in folder.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        page.write_text(without_links_to_sources(text, page.parent, folder), encoding="utf-8")
    for name, module in REFERENCE.items():
        page = folder / "reference" / f"{name}.md"
        page.parent.mkdir(exist_ok=True)
        page.write_text(f"# {module}\n\n::: {module}\n", encoding="utf-8")


def without_links_to_sources(text: str, place: Path, folder: Path) -> str:
    """A page of ``place`` with links to files of the repository, but not of the site, as plain text."""

    def replaced(match: re.Match[str]) -> str:
        on_site, in_repository = place / match[2], ROOT / place.relative_to(folder) / match[2]
        return match[1] if in_repository.exists() and not on_site.is_file() else match[0]

    return LINK.sub(replaced, text)


def main() -> None:
    """Build the site, or fail with the first broken link or unknown name."""
    with tempfile.TemporaryDirectory() as folder:
        stage(Path(folder) / "pages")
        config = Path(folder) / "mkdocs.yml"
        shutil.copyfile(Path(__file__).with_name("mkdocs.yml"), config)
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(config)]
        command += ["--site-dir", str(Path(sys.argv[1]).resolve())]
        roots = {"SITE_ROOT": str(ROOT), "SITE_RULES": str(ROOT / "rules")}
        sys.exit(subprocess.run(command, env=os.environ | roots).returncode)


if __name__ == "__main__":
    main()

"""The site's pages, short of building them: ``make site`` does that."""

from pathlib import Path

import pytest
import yaml
from markdown_blocks import ROOT

from docs.site import build
from docs.site.build import stage, without_links_to_sources


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    stage(folder)
    return folder


def test_every_page_of_the_navigation_exists(staged: Path) -> None:
    text = (ROOT / "docs" / "site" / "mkdocs.yml").read_text(encoding="utf-8")
    pages = list(leaves(yaml.load(text, yaml.BaseLoader)["nav"]))
    assert pages
    assert [page for page in pages if not (staged / page).is_file()] == []


def test_pages_of_installed_packages_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "checkout"
    kept, installed = (
        root / "examples" / "node" / name for name in ("README.md", "node_modules/x/README.md")
    )
    for page in (kept, installed):
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text("[a](nowhere.md)", encoding="utf-8")
    monkeypatch.setattr(build, "ROOT", root)
    stage(tmp_path / "staged")
    assert (tmp_path / "staged" / kept.relative_to(root)).is_file()
    assert not (tmp_path / "staged" / installed.relative_to(root)).exists()


def leaves(entries: object) -> list[str]:
    if isinstance(entries, str):
        return [entries]
    children = entries.values() if isinstance(entries, dict) else entries
    return [leaf for child in children for leaf in leaves(child)]


@pytest.mark.parametrize(
    ("link", "kept"),
    [
        ("[a](cli.md#compile)", True),
        ("[a](nowhere.md)", True),
        ("[a](https://example.com/x.py)", True),
        ("[a](../onnx_demucs_compiler/report.py)", False),
        ("[a](../onnx_demucs_compiler/runtime)", False),
    ],
)
def test_links_to_sources_become_text(staged: Path, link: str, kept: bool) -> None:
    assert without_links_to_sources(link, staged / "docs", staged) == (link if kept else "a")

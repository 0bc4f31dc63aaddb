"""docs/rules.md is what the rules say."""

import re

import pytest
from markdown_blocks import ROOT

from docs.write_rules import PICTURED, picture
from onnx_demucs_compiler.rules.catalogue import catalogue
from onnx_demucs_compiler.rules.ruleset import bundled

WRITTEN = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")


def test_rules_md_is_up_to_date() -> None:
    """``make check`` compares the pictures of models too, which take longer."""
    without_pictures = re.sub(r"Case [\w-]+:\n\n```mermaid\n.*?```\n\n", "", WRITTEN, flags=re.DOTALL)
    assert without_pictures == catalogue(bundled()), "docs/rules.md is stale: run make docs"


@pytest.mark.parametrize("name", ["drop-zero-state", "glu-as-two-convolutions", "sum-before-crop"])
def test_pictures_are_up_to_date(name: str) -> None:
    drawn = picture(bundled()[name], bundled())
    assert catalogue(bundled(), {name: drawn}).count("```mermaid") == 1
    assert drawn in WRITTEN


def test_ten_rules_have_a_picture() -> None:
    assert len(set(PICTURED)) == WRITTEN.count("```mermaid") == 10

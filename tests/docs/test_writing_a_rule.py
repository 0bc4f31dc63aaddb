"""docs/writing-a-rule.md: its pack is written to disk as it stands, and everything it says is run."""

import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_blocks import ROOT, Block, blocks

from onnx_demucs_compiler import default, plugins
from onnx_demucs_compiler.cli.scaffold import write_rule
from onnx_demucs_compiler.cli.templates import TEMPLATES
from onnx_demucs_compiler.rules.ruleset import RuleSet, load_pack
from onnx_demucs_compiler.testing import check_case, rule_cases

DOCUMENT = ROOT / "docs" / "writing-a-rule.md"
BLOCKS = blocks(DOCUMENT, "python")
MODULES = [block for block in BLOCKS if (block.file or "").startswith("acme_rules/")]
SCRIPTS = [block for block in BLOCKS if block.file is None]
CASES = [
    "hypot-as-sqrt:magnitude",
    "hypot-as-sqrt:broadcast",
    "hypot-as-sqrt:half-precision",
    "square-as-product:square",
    "square-as-product:cube",
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on ``sys.path`` in which the pack of the document is installed."""
    folder = tmp_path_factory.mktemp("site")
    for block in MODULES:
        module = folder / block.file
        module.parent.mkdir(parents=True, exist_ok=True)
        module.write_text(block.text, encoding="utf-8")
        for package in (module.parent, folder / "acme_rules"):
            (package / "__init__.py").touch()
    [toml] = blocks(DOCUMENT, "toml")
    section, entry = toml.text.splitlines()[1:]
    assert section == '[project.entry-points."onnx_demucs_compiler.rules"]'
    information = folder / "acme_rules-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-rules\nVersion: 1.0\n")
    entry_points = f"[onnx_demucs_compiler.rules]\n{entry.replace(chr(34), '')}\n"
    (information / "entry_points.txt").write_text(entry_points)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme_rules"]:
        del sys.modules[name]
    load_pack.cache_clear()


@pytest.fixture(scope="module")
def pack(site: Path) -> RuleSet:
    return load_pack("acme_rules")


def test_the_pack_holds_the_documented_cases(pack: RuleSet) -> None:
    assert [f"{rule.name}:{case.name}" for rule, case in rule_cases(pack)] == CASES


@pytest.mark.parametrize("case", CASES)
def test_case(case: str, pack: RuleSet) -> None:
    rule, _, name = case.partition(":")
    [chosen] = [candidate for candidate in pack[rule].cases if candidate.name == name]
    check_case(pack[rule], chosen, pack)


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_script_runs(script: Block, site: Path, tmp_path: Path) -> None:
    """One of them compiles a model with the rule and asserts that it fired."""
    file = tmp_path / "script.py"
    file.write_text(script.text, encoding="utf-8")
    runpy.run_path(str(file))


def test_the_documented_test_file_is_one(site: Path, tmp_path: Path) -> None:
    [block] = [block for block in BLOCKS if block.file == "tests/test_cases.py"]
    file = tmp_path / "documented.py"
    file.write_text(block.text, encoding="utf-8")
    [marker] = runpy.run_path(str(file))["test_case"].pytestmark
    assert [parameter.id for parameter in marker.args[1]] == CASES


def test_a_pack_is_found_by_its_entry_point_and_changes_nothing_until_named(pack: RuleSet) -> None:
    assert plugins("acme") == pack
    assert not {rule.name for rule in pack} & {rule.name for rule in default}


def test_the_listed_files_are_the_packs(site: Path) -> None:
    listings = [block.text.split() for block in blocks(DOCUMENT, "")]
    written = sorted(str(path.relative_to(site)) for path in (site / "acme_rules").rglob("*.py"))
    assert written in [sorted(listing) for listing in listings]


@pytest.mark.parametrize("stage", TEMPLATES)
def test_the_templates_cases_fail_until_it_is_written(stage: str, site: Path) -> None:
    package = site / f"acme_{stage}"
    package.mkdir()
    (package / "__init__.py").touch()
    write_rule("spectral/my-rule", package, stage)
    template = load_pack(package.name)
    for case in template["my-rule"].cases:
        with pytest.raises(AssertionError):
            check_case(template["my-rule"], case, template)

"""Who may import whom, and what the files are called."""

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from onnx_demucs_compiler.rules import Rule
from onnx_demucs_compiler.rules.ruleset import bundled

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "onnx_demucs_compiler"
RULES = ROOT / "rules" / "onnx_demucs_rules"


@functools.cache
def imports(file: Path) -> set[str]:
    """Every module that a file names in an import, those for the type checker and inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def offenders(folder: Path, *packages: str, but: str | None = None) -> Iterator[str]:
    """Which files under a folder import one of the packages."""
    files = sorted(folder.rglob("*.py"))
    assert files
    for file in files:
        if but and file.is_relative_to(folder / but):
            continue
        for name in imports(file):
            if any(name == package or name.startswith(f"{package}.") for package in packages):
                yield f"{file.relative_to(ROOT)} imports {name}"


def parts() -> dict[str, Path]:
    """Every module of the engine and of the rules, by its dotted name."""
    files = [(ROOT, file) for file in sorted(ENGINE.rglob("*.py"))]
    files += [(RULES.parent, file) for file in sorted(RULES.rglob("*.py"))]
    names = {file: ".".join(file.relative_to(base).with_suffix("").parts) for base, file in files}
    return {name.removesuffix(".__init__"): file for file, name in names.items()}


@functools.cache
def import_graph() -> dict[str, set[str]]:
    """What each module imports of the others; a name that is no module counts for the module it is in."""
    modules = parts()
    return {
        name: {
            found
            for imported in imports(file)
            if (found := imported if imported in modules else imported.rpartition(".")[0]) in modules
            and found != name
            and not any(other.startswith(f"{imported}.") for other in imports(file) if other in modules)
        }
        for name, file in modules.items()
    }


def part_of(module: str) -> str:
    engine, _, rest = module.partition(".")
    return rest.partition(".")[0] or engine if engine == ENGINE.name else engine


def test_no_module_imports_itself_by_way_of_others() -> None:
    list(TopologicalSorter(import_graph()).static_order())  # CycleError names the circle


def test_the_table_of_imports_is_what_the_code_says() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.partition("## Who may import whom\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| `")]
    table = {row[0].strip(" `"): set(re.findall(r"`(\w+)`", row[1])) for row in rows}
    found: dict[str, set[str]] = {}
    for module, imported in import_graph().items():
        part = part_of(module)
        found.setdefault(part, set()).update({part_of(other) for other in imported} - {part, "_version"})
    front_doors = {ENGINE.name, "__main__", "_version"}
    assert table == {part: others for part, others in found.items() if others and part not in front_doors}


def test_few_files_lie_loose() -> None:
    assert len(list(ENGINE.glob("*.py"))) <= 12


def test_the_engine_knows_no_rule() -> None:
    assert list(offenders(ENGINE, "onnx_demucs_rules")) == []


def test_rules_know_no_command_line() -> None:
    assert list(offenders(RULES, "onnx_demucs_compiler.cli", "typer", "rich")) == []


def test_only_loading_knows_demucs() -> None:
    assert list(offenders(ENGINE, "demucs", but="loading")) == []


def test_the_runtime_needs_no_torch() -> None:
    assert list(offenders(ENGINE / "runtime", "torch", "demucs", "onnx", "onnx_ir", "onnxscript")) == []


def test_formats_of_onnxruntime_need_no_torch() -> None:
    assert list(offenders(ENGINE / "ort", "torch", "demucs", "onnx", "onnx_ir", "onnxscript")) == []


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("onnx_demucs_compiler", {"torch", "onnx", "onnxruntime", "demucs"}),
        ("onnx_demucs_compiler.cli", {"torch", "onnx", "onnxruntime", "demucs"}),
        ("onnx_demucs_compiler.runtime", {"torch", "onnx", "demucs"}),
    ],
)
def test_what_an_import_brings_along(module: str, heavy: set[str]) -> None:
    code = f"import sys, {module}; print(*sorted({heavy!r} & set(sys.modules)))"
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert finished.stdout.split() == []


@pytest.mark.parametrize("rule", bundled(), ids=lambda rule: rule.name)
def test_a_file_is_called_after_its_rule(rule: Rule) -> None:
    assert rule.module_name.rpartition(".")[2] == rule.name.replace("-", "_")
    assert RULES / Path(*rule.module_name.split(".")[1:]).with_suffix(".py") in RULES.rglob("*.py")


@pytest.mark.parametrize("rule", bundled(), ids=lambda rule: rule.name)
def test_a_rule_says_what_it_does(rule: Rule) -> None:
    assert "→" in rule.summary
    assert rule.why.rstrip().endswith(".")


@pytest.mark.parametrize("rule", bundled(), ids=lambda rule: rule.name)
def test_what_a_rule_names_exists_in_its_pack(rule: Rule) -> None:
    beside = {name for case in rule.cases for name in case.beside}
    assert beside <= {other.name for other in bundled()}

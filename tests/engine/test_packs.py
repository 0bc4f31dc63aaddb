"""Packs of rules: found by walking a package, installed as plugins, opt-in."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from onnx_demucs_compiler import UsageError, default, plugins
from onnx_demucs_compiler.rules.ruleset import bundled, default_rules, load_pack

Pack = Callable[..., str]

RULE = """
from torch import nn
from onnx_demucs_compiler.rules import EXACT, Case, graph_pass

@graph_pass(name="{name}", why="Because.", numerics=EXACT, tags={{"acme"}}, in_default={in_default}, cases=[
    Case("fires", nn.ReLU, ((2, 8),)),
    Case("refuses", nn.ReLU, ((2,),), fires=0, because="too small"),
])
def rule(model, options):
    return 0
"""


def rule_named(name: str, *, in_default: bool = True) -> str:
    return RULE.format(name=name, in_default=in_default)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on ``sys.path``, forgotten again with all that was imported from it."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    load_pack.cache_clear()
    default_rules.cache_clear()
    bundled.cache_clear()


def write_pack(site: Path, package: str, files: dict[str, str]) -> str:
    for file, text in {"__init__.py": "", **files}.items():
        path = site / package / file
        path.parent.mkdir(parents=True, exist_ok=True)
        for folder in path.relative_to(site).parents[:-1]:
            (site / folder / "__init__.py").touch()
        path.write_text(text)
    importlib.invalidate_caches()
    return package


def install(site: Path, name: str, package: str, distribution: str = "acme") -> None:
    """What pip would leave behind of a distribution that declares a pack."""
    info = site / f"{distribution}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[onnx_demucs_compiler.rules]\n{name} = {package}\n")
    importlib.invalidate_caches()


def test_a_pack_is_its_package_walked(site: Path) -> None:
    package = write_pack(
        site,
        "acme_walked",
        {
            "top.py": rule_named("top"),
            "deep/er/inner.py": rule_named("inner"),
            # What one module imports from another is one rule all the same.
            "again.py": "from acme_walked.top import rule as imported",
        },
    )
    assert [rule.name for rule in load_pack(package)] == ["inner", "top"]


def test_a_pack_may_be_one_module(site: Path) -> None:
    (site / "acme_module.py").write_text(rule_named("alone"))
    assert [rule.name for rule in load_pack("acme_module")] == ["alone"]


def test_a_pack_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="rule pack acme_absent: acme_absent cannot be imported"):
        load_pack("acme_absent")


def test_a_pack_without_rules(site: Path) -> None:
    with pytest.raises(UsageError, match="rule pack acme_empty holds no rules"):
        load_pack(write_pack(site, "acme_empty", {}))


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("import not_installed_anywhere", "ModuleNotFoundError"),
        ("def", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
        (rule_named("Not Kebab"), "is not kebab-case"),
    ],
)
@pytest.mark.parametrize("file", ["broken.py", "broken/__init__.py"])
def test_a_pack_with_a_broken_module(broken: str, reason: str, file: str, site: Path) -> None:
    package = write_pack(site, "acme_broken", {"fine.py": rule_named("fine"), file: broken})
    with pytest.raises(UsageError, match=rf"rule pack acme_broken: acme_broken\.broken.*{reason}"):
        load_pack(package)


def test_a_pack_with_two_rules_of_one_name(site: Path) -> None:
    twins = {"one.py": rule_named("twin"), "two.py": rule_named("twin")}
    with pytest.raises(UsageError, match=r"two rules are named twin: acme_twins\.one and acme_twins\.two"):
        load_pack(write_pack(site, "acme_twins", twins))


def test_an_installed_pack_is_opt_in(site: Path) -> None:
    before = list(default)
    install(site, "acme", write_pack(site, "acme_rules", {"mine.py": rule_named("mine")}))
    default_rules.cache_clear()
    assert [rule.name for rule in default_rules()] == [rule.name for rule in before]
    assert [rule.name for rule in plugins("acme")] == ["mine"]
    assert len(default_rules() | plugins("acme")) == len(before) + 1


def test_an_entry_point_may_name_an_attribute(site: Path) -> None:
    write_pack(site, "acme_attribute", {"mine.py": rule_named("mine")})
    install(site, "acme", "acme_attribute:rules")
    assert [rule.name for rule in plugins("acme")] == ["mine"]


def test_several_packs(site: Path) -> None:
    install(site, "b", write_pack(site, "acme_b", {"b.py": rule_named("rule-b")}), "one")
    install(site, "a", write_pack(site, "acme_a", {"a.py": rule_named("rule-a")}), "two")
    assert [rule.name for rule in plugins("b", "a")] == ["rule-a", "rule-b"]
    assert len(plugins()) == 0


def test_a_pack_that_is_not_installed(site: Path) -> None:
    install(site, "acme", "acme_whatever")
    with pytest.raises(UsageError, match="no rule pack 'acne' is installed; installed packs: acme"):
        plugins("acne")


def test_two_distributions_with_a_pack_of_one_name(site: Path) -> None:
    install(site, "acme", write_pack(site, "acme_b", {"b.py": rule_named("rule-b")}), "one")
    install(site, "acme", write_pack(site, "acme_a", {"a.py": rule_named("rule-a")}), "two")
    with pytest.raises(UsageError, match="several packages declare a rule pack 'acme': acme_a, acme_b"):
        plugins("acme")


def test_the_default_leaves_out_what_says_so() -> None:
    assert {rule.name for rule in bundled()} - {rule.name for rule in default} == {
        rule.name for rule in bundled() if not rule.in_default
    }

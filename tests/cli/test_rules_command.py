"""``onnx-demucs rules``: the catalogue, one rule, a new rule."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_examples import ROOT, fails_cleanly, run, strict_json, succeeds

from onnx_demucs_compiler.cli.templates import TEMPLATES
from onnx_demucs_compiler.rules import EXACT, Case, Rule, Stage
from onnx_demucs_compiler.rules.catalogue import catalogue
from onnx_demucs_compiler.rules.ruleset import RuleSet, bundled, load_pack
from onnx_demucs_compiler.testing import check_case, rule_cases


def test_the_list() -> None:
    printed = succeeds(run("rules")).split()
    assert [rule.name for rule in bundled() if rule.name not in printed] == []


def test_the_list_as_json() -> None:
    listed = strict_json(succeeds(run("rules", "--json")))
    assert [entry["name"] for entry in listed] == [rule.name for rule in bundled()]
    assert all(entry["why"] and entry["summary"] and entry["cases"] for entry in listed)


@pytest.mark.parametrize("rule", bundled(), ids=lambda rule: rule.name)
def test_one_rule(rule: Rule) -> None:
    printed = succeeds(run("rules", rule.name))
    assert f"### {rule.name}" in printed
    assert rule.why in printed
    assert all(case.name in printed for case in rule.cases)


def test_one_rule_as_json() -> None:
    [entry] = strict_json(succeeds(run("rules", "stft-as-matmul", "--json")))
    assert (entry["name"], entry["stage"], entry["default"]) == ("stft-as-matmul", "decompose", True)
    assert entry["numerics"].startswith("≥ ")


def test_an_unknown_rule() -> None:
    fails_cleanly(run("rules", "stft-as-matmull"), 2, "did you mean stft-as-matmul?")
    fails_cleanly(run("rules", "stft-as-matmul", "more"), 2, "unexpected argument more")
    fails_cleanly(run("rules", "--plugin", "acme"), 2, "no rule pack 'acme' is installed")


def test_a_bar_in_a_reason_does_not_break_the_table() -> None:
    cases = (Case("fires", object, ((1,),)), Case("refuses", object, ((1,),), fires=0, because="a | b"))
    rule = Rule("barred", Stage.SURGERY, "Because.", EXACT, lambda *_: 0, cases=cases)
    rows = [line for line in catalogue(RuleSet([rule])).splitlines() if line.startswith("| refuses")]
    assert rows == ["| refuses | 0 | a \\| b |"]


@pytest.fixture
def pack(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package for rules, importable and forgotten after the test."""
    monkeypatch.syspath_prepend(folder)
    (folder / "new_pack").mkdir()
    (folder / "new_pack" / "__init__.py").touch()
    importlib.invalidate_caches()
    yield folder / "new_pack"
    for name in [name for name in sys.modules if name.partition(".")[0] == "new_pack"]:
        del sys.modules[name]
    load_pack.cache_clear()


REFUSAL = 'return Refusal("this rule is not written yet")'

WRITTEN = {
    "substitute": (
        REFUSAL,
        """if not isinstance(module, nn.ReLU):
        return Refusal("no ReLU")
    if "forward" in vars(module):
        return Refusal("done already")
    return [Patch(module, "forward", lambda x: x.clamp(min=0))]""",
        "no ReLU",
    ),
    "decompose": (REFUSAL, 'return Refusal("one axis") if x.ndim == 1 else x.clamp(min=0)', "one axis"),
    "translate": (REFUSAL, 'return Refusal("one axis") if node.meta["val"].ndim == 1 else None', "one axis"),
    "rewrite": (REFUSAL, 'return Refusal("one axis") if len(site.shape("x")) == 1 else None', "one axis"),
    "surgery": (REFUSAL, 'return Refusal("one axis") if len(site.shape("X")) == 1 else None', "one axis"),
    "store": (
        REFUSAL,
        """from onnx_demucs_rules.precision.fp16_weights import fp16_weights

    return fp16_weights.implementation(model, options)""",
        "no float32 initializer is stored in float16",
    ),
}
"""For each stage a line of the template, what a written rule has there, and why that one refuses."""


def test_there_is_a_template_for_every_stage() -> None:
    assert list(TEMPLATES) == [stage.label for stage in Stage] == list(WRITTEN)


@pytest.mark.parametrize("stage", TEMPLATES)
def test_a_new_rule_fails_until_it_is_written(stage: str, pack: Path) -> None:
    printed = succeeds(run("rules", "new", "gating/glu-in-one", "--root", pack, "--stage", stage))
    file = pack / "gating" / "glu_in_one.py"
    assert printed.strip() == str(file)
    assert (pack / "gating" / "__init__.py").read_text() == '"""Rules about gating."""\n'
    rules = load_pack("new_pack")
    assert [(rule.name, rule.stage.label) for rule in rules] == [("glu-in-one", stage)]
    for rule, case in rule_cases(rules):
        with pytest.raises(AssertionError, match=r"fired 0 times|reasons given"):
            check_case(rule, case, rules)


@pytest.mark.parametrize("stage", TEMPLATES)
def test_a_new_rule_passes_once_it_is_written(stage: str, pack: Path) -> None:
    succeeds(run("rules", "new", "gating/glu-in-one", "--root", pack, "--stage", stage))
    file = pack / "gating" / "glu_in_one.py"
    text, (line, written, reason) = file.read_text(), WRITTEN[stage]
    assert line in text
    file.write_text(text.replace(line, written).replace("say why it refuses", reason))
    rules = load_pack("new_pack")
    for rule, case in rule_cases(rules):
        check_case(rule, case, rules)


def test_a_new_rule_decomposes_unless_told_otherwise(pack: Path) -> None:
    succeeds(run("rules", "new", "gating/glu-in-one", "--root", pack))
    assert [rule.stage for rule in load_pack("new_pack")] == [Stage.DECOMPOSE]


def test_an_unknown_stage(pack: Path) -> None:
    arguments = ("rules", "new", "gating/glu", "--root", pack, "--stage", "rewritten")
    fails_cleanly(run(*arguments), 2, "unknown stage rewritten; known: substitute, decompose,")
    assert [path.name for path in pack.rglob("*")] == ["__init__.py"]
    fails_cleanly(run("rules", "--stage", "rewrite"), 2, "--stage goes with 'rules new'")


@pytest.mark.parametrize("stage", TEMPLATES)
def test_a_new_rule_is_in_the_style_of_the_project(stage: str, pack: Path) -> None:
    succeeds(run("rules", "new", "gating/glu-in-one", "--root", pack, "--stage", stage))
    file, settings = pack / "gating" / "glu_in_one.py", ROOT / "pyproject.toml"
    for command in (("check", "--ignore", "ARG"), ("format", "--check")):
        finished = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--config", settings, file],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.mark.parametrize(
    "place",
    ["glu", "gating/", "/glu", "gating/Glu", "gating/glu_split", "a/b/c", "../x/glu", "Gating/glu",
     "gating/-a", "gating/2d-glu", "gating/glu.py"],
)  # fmt: skip
def test_malformed_names(place: str, pack: Path) -> None:
    fails_cleanly(run("rules", "new", place, "--root", pack), 2, "is not FOLDER/NAME", "norm/my-rule")
    assert [path.name for path in pack.rglob("*")] == ["__init__.py"]


@pytest.mark.parametrize("place", ["gating/lambda", "class/glu"])
def test_words_of_python(place: str, pack: Path) -> None:
    fails_cleanly(run("rules", "new", place, "--root", pack), 2, "is a Python keyword")
    assert [path.name for path in pack.rglob("*")] == ["__init__.py"]


def test_a_name_that_is_taken(pack: Path) -> None:
    succeeds(run("rules", "new", "gating/glu", "--root", pack))
    written = (pack / "gating" / "glu.py").read_bytes()
    fails_cleanly(run("rules", "new", "gating/glu", "--root", pack), 2, "glu.py exists; choose another name")
    fails_cleanly(run("rules", "new", "other/glu", "--root", pack), 2, "glu.py exists; choose another name")
    assert (pack / "gating" / "glu.py").read_bytes() == written
    assert not (pack / "other").exists()


def test_no_place_and_no_package(folder: Path) -> None:
    fails_cleanly(run("rules", "new"), 2, "say where the rule goes")
    fails_cleanly(run("rules", "new", "gating/glu"), 2, "is not a package of rules", "--root")
    assert list(folder.iterdir()) == []

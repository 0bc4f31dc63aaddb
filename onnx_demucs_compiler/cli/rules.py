"""``onnx-demucs rules``: the catalogue, one rule, or a new one."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onnx_demucs_compiler.errors import UsageError

if TYPE_CHECKING:
    from onnx_demucs_compiler.rule import Rule


def rules(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME | new]", help="One rule in full, or 'new'.")
    ] = None,
    place: Annotated[
        str | None, typer.Argument(metavar="[FOLDER/NAME]", help="With 'new': where the rule goes.")
    ] = None,
    plugin: Annotated[
        list[str] | None, typer.Option(metavar="PACK", help="Show an installed pack's rules too.")
    ] = None,
    root: Annotated[Path, typer.Option(metavar="DIR", help="With 'new': the package to write into.")] = Path(
        "rules/onnx_demucs_rules"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the rules, show one, or start a new one: rules new FOLDER/NAME."""
    from onnx_demucs_compiler.ruleset import bundled, plugins

    if name == "new":
        _new(place, root)
        return
    if place is not None:
        raise UsageError(f"unexpected argument {place}; use 'rules', 'rules NAME' or 'rules new FOLDER/NAME'")
    known = bundled() | plugins(*(plugin or []))
    chosen = list(known) if name is None else [known[name]]
    if as_json:
        typer.echo(json.dumps([_facts(rule) for rule in chosen], ensure_ascii=False))
    elif name is None:
        _print_table(chosen)
    else:
        _print_rule(chosen[0])


def _new(place: str | None, root: Path) -> None:
    from onnx_demucs_compiler.cli.scaffold import write_rule

    if place is None:
        raise UsageError("say where the rule goes: onnx-demucs rules new FOLDER/NAME")
    typer.echo(write_rule(place, root))


def _facts(rule: "Rule") -> dict[str, Any]:
    return {
        "name": rule.name,
        "stage": rule.stage.label,
        "summary": rule.summary,
        "why": rule.why,
        "numerics": str(rule.numerics),
        "targets": sorted(rule.targets),
        "tags": sorted(rule.tags),
        "default": rule.in_default,
        "cases": [case.name for case in rule.cases],
    }


def _print_table(rules: "list[Rule]") -> None:
    from rich.table import Table

    from onnx_demucs_compiler.cli.display import stdout

    table = Table()
    table.add_column("rule", no_wrap=True)
    for heading in ("stage", "default", "numerics", "what it does"):
        table.add_column(heading)
    for rule in rules:
        table.add_row(
            rule.name, rule.stage.label, "yes" if rule.in_default else "no", str(rule.numerics), rule.summary
        )
    stdout().print(table)


def _print_rule(rule: "Rule") -> None:
    from onnx_demucs_compiler.catalogue import section

    typer.echo(section(rule))

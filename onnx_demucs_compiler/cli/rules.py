"""``onnx-demucs rules``: the catalogue, one rule, or a new one."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.installation import check_compiler

if TYPE_CHECKING:
    from onnx_demucs_compiler.rules.rule import Rule
    from onnx_demucs_compiler.rules.ruleset import RuleSet


def rules(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME | new | try]", help="One rule in full; or 'new', or 'try'.")
    ] = None,
    place: Annotated[
        str | None,
        typer.Argument(metavar="[FOLDER/NAME | NAME]", help="The new rule's place; the rule to try."),
    ] = None,
    plugin: Annotated[
        list[str] | None, typer.Option(metavar="PACK", help="Show an installed pack's rules too.")
    ] = None,
    order: Annotated[
        bool, typer.Option("--order", help="Number the default rules in the order in which they apply.")
    ] = False,
    target: Annotated[
        str | None, typer.Option(metavar="TARGET", help="With --order: the rules of this target.")
    ] = None,
    root: Annotated[Path, typer.Option(metavar="DIR", help="With 'new': the package to write into.")] = Path(
        "rules/onnx_demucs_rules"
    ),
    stage: Annotated[
        str | None,
        typer.Option(metavar="STAGE", help="With 'new': where it applies.", show_default="decompose"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="With 'try': what to compile, as for compile.",
            show_default="the rule's own example",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the rules, or show, try or start one.

    rules NAME shows a rule, rules try NAME tries it on a model, rules new FOLDER/NAME starts one.
    """
    check_compiler("rules")
    from onnx_demucs_compiler.rules.ruleset import bundled, default_rules, plugins

    if stage is not None and name != "new":
        raise UsageError("--stage goes with 'rules new'")
    if name == "new":
        _new(place, root, stage or "decompose")
        return
    if model is not None and name != "try":
        raise UsageError("--model goes with 'rules try'")
    if name == "try":
        _try(place, model, plugins(*(plugin or [])), as_json=as_json)
        return
    if place is not None:
        raise UsageError(
            f"unexpected argument {place}; use 'rules', 'rules NAME', 'rules try NAME' "
            "or 'rules new FOLDER/NAME'"
        )
    if target is not None and not order:
        raise UsageError("--target goes with --order")
    if order:
        _print_order(default_rules() | plugins(*(plugin or [])), name, target, as_json=as_json)
        return
    known = bundled() | plugins(*(plugin or []))
    chosen = list(known) if name is None else [known[name]]
    if as_json:
        typer.echo(json.dumps([_facts(rule) for rule in chosen], ensure_ascii=False))
    elif name is None:
        _print_table(chosen)
    else:
        _print_rule(chosen[0])


def _new(place: str | None, root: Path, stage: str) -> None:
    from onnx_demucs_compiler.cli.scaffold import write_rule

    if place is None:
        raise UsageError("say where the rule goes: onnx-demucs rules new FOLDER/NAME")
    typer.echo(write_rule(place, root, stage))


def _try(name: str | None, model: str | None, packs: "RuleSet", *, as_json: bool) -> None:
    """A model compiled without a rule and with it, side by side."""
    if name is None:
        raise UsageError("say which rule to try: onnx-demucs rules try NAME")
    from onnx_demucs_compiler.rules.ruleset import bundled

    known = bundled() | packs
    rule = known[name]
    from onnx_demucs_compiler.checking.decibels import finite
    from onnx_demucs_compiler.cli.display import print_trial
    from onnx_demucs_compiler.loading import load_model
    from onnx_demucs_compiler.observe.trial import first_case, try_rule, whole_model

    subject = first_case(rule, known) if model is None else whole_model(rule, load_model(model), packs)
    trial = try_rule(rule, subject)
    if as_json:
        typer.echo(json.dumps(finite(asdict(trial)), ensure_ascii=False))
    else:
        print_trial(trial)


def _print_order(rules: "RuleSet", name: str | None, target: str | None, *, as_json: bool) -> None:
    """Print the rules of a target, numbered, each with its predecessors."""
    from onnx_demucs_compiler.rules.order import predecessors
    from onnx_demucs_compiler.targets import target_named

    if name is not None:
        raise UsageError(f"unexpected argument {name}; --order lists all rules")
    listed = [rule for rule in rules if target is None or target_named(target) in rule.targets]
    rows = [
        {
            "stage": rule.stage.label,
            "name": rule.name,
            "after": predecessors(rule, [other for other in listed if other.stage is rule.stage]),
        }
        for rule in listed
    ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for number, row in enumerate(rows, 1):
        after = f"  after {', '.join(row['after'])}" if row["after"] else ""
        typer.echo(f"{number:3}  {row['stage']:<10}  {row['name']}{after}")


def _facts(rule: "Rule") -> dict[str, Any]:
    return {
        "name": rule.name,
        "stage": rule.stage.label,
        "summary": rule.summary,
        "why": rule.why,
        "numerics": str(rule.numerics),
        "targets": sorted(map(str, rule.targets)),
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
    from onnx_demucs_compiler.rules.catalogue import section

    typer.echo(section(rule))

"""``onnx-demucs verify``: an artefact against the model it was compiled from."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onnx_demucs_compiler.errors import CompilerError, UsageError

if TYPE_CHECKING:
    from onnx_demucs_compiler.contracts.finding import Finding


def verify(
    artifact: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="What onnx-demucs compile wrote.")],
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What it was compiled from.", show_default="as its metadata says"),
    ] = None,
    repo: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Look NAME up in this folder of checkpoints.")
    ] = None,
    trust_checkpoint: Annotated[
        bool, typer.Option("--trust-checkpoint", help="Let the checkpoint run code of its maker's choosing.")
    ] = False,
    audio: Annotated[Path | None, typer.Option(metavar="FILE", help="Measure on this audio as well.")] = None,
    min_snr: Annotated[
        float | None,
        typer.Option(metavar="DB", help="Parity gate in dB.", show_default="100; fp16 rounded 50; int8 40"),
    ] = None,
    contract: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Check what a runtime demands: official, minimal, openkara or web. Repeatable. "
            "Without --model, only that.",
        ),
    ] = None,
    ops_config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="See whether this reduced-operator config is what it needs."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the measurements as JSON.")] = False,
) -> None:
    """Compare MODEL.onnx with its model in float64; exit code 1 below the gate.

    With --contract, check what runtimes demand of it; exit code 1 if a contract is broken.
    """
    from onnx_demucs_compiler.cli.config_check import check_config

    found = _lint(artifact, contract or [], wanted_for_parity=(model, repo, audio, min_snr))
    if ops_config:
        check_config(ops_config, [artifact])
    if found and not as_json and not quiet:
        _print_findings(artifact, found)
    if found and model is None:
        if as_json:
            typer.echo(json.dumps({"contracts": _facts(found)}))
        _check_kept(artifact, found)
        return
    from onnx_demucs_compiler.cli.display import print_fidelity, steps
    from onnx_demucs_compiler.cli.excerpt import excerpt_signal
    from onnx_demucs_compiler.loading import load_model
    from onnx_demucs_compiler.report import finite
    from onnx_demucs_compiler.verification import artifact_metadata
    from onnx_demucs_compiler.verification import verify as verify_artifact

    with steps(visible=not (quiet or as_json)) as on_step:
        on_step("load")
        metadata = artifact_metadata(artifact)
        named = metadata.model
        try:
            source = load_model(model or named, repo, trust_checkpoint=trust_checkpoint)
        except UsageError as error:
            if model:
                raise
            raise UsageError(
                f"{artifact} was compiled from {named}; say with --model where that is ({error})"
            ) from error
        on_step("verify")
        measurements = verify_artifact(
            artifact,
            source,
            min_snr_db=min_snr,
            extra_signals=excerpt_signal(audio, source, metadata.segment),
        )
    if as_json:
        measured = finite([asdict(item) for item in measurements])
        shown = {"contracts": _facts(found), "fidelity": measured} if found else measured
        typer.echo(json.dumps(shown, allow_nan=False))
    elif not quiet:
        print_fidelity(measurements)
    _check_kept(artifact, found)


def _lint(
    artifact: Path, contracts: list[str], wanted_for_parity: tuple[object, ...]
) -> "dict[str, tuple[Finding, ...]]":
    """What each contract finds; nothing where none is asked for."""
    if not contracts:
        return {}
    from onnx_demucs_compiler.contracts import check_names, lint

    check_names(contracts)
    model, *others = wanted_for_parity
    if model is None and any(other is not None for other in others):
        raise UsageError(
            "--repo, --audio and --min-snr are for parity, and --contract alone does not measure it; "
            "add --model NAME"
        )
    return lint(artifact, contracts)


def _print_findings(artifact: Path, found: "dict[str, tuple[Finding, ...]]") -> None:
    """A table: one line for each thing found."""
    from rich.table import Table

    from onnx_demucs_compiler.cli.display import stdout

    table = Table(title=f"{artifact}", title_justify="left")
    for heading in ("contract", "", "what"):
        table.add_column(heading, overflow="fold")
    for name, findings in found.items():
        if not any(finding.breaks for finding in findings):
            table.add_row(name, "kept", "")
        for finding in findings:
            table.add_row(name, "broken" if finding.breaks else "note", str(finding))
    stdout().print(table)


def _facts(found: "dict[str, tuple[Finding, ...]]") -> list[dict[str, Any]]:
    return [
        {
            "contract": name,
            "kept": not any(finding.breaks for finding in findings),
            "findings": [asdict(finding) | {"nodes": list(finding.nodes)} for finding in findings],
        }
        for name, findings in found.items()
    ]


def _check_kept(artifact: Path, found: "dict[str, tuple[Finding, ...]]") -> None:
    broken = {name: [finding for finding in findings if finding.breaks] for name, findings in found.items()}
    told = [f"{name}: {findings[0]}" for name, findings in broken.items() if findings]
    if told:
        count = sum(map(len, broken.values()))
        raise CompilerError(
            f"{artifact} breaks {', '.join(name for name in broken if broken[name])} in {count} "
            f"point{'s' if count > 1 else ''}; {'; '.join(told)}"
        )

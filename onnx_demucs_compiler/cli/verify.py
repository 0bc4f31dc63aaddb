"""``onnx-demucs verify``: an artifact against the model it was compiled from."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.installation import check_compiler

if TYPE_CHECKING:
    from onnx_demucs_compiler.checking.fidelity import Measurement
    from onnx_demucs_compiler.checking.other_engine import Comparison
    from onnx_demucs_compiler.checking.verification import ChangedError
    from onnx_demucs_compiler.contracts.finding import Finding
    from onnx_demucs_compiler.targets import Target


def verify(
    artifact: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="What onnx-demucs compile wrote.")],
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What it was compiled from.", show_default="as its metadata says"),
    ] = None,
    repo: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Look NAME up in this folder of checkpoints.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The configuration of the checkpoint NAME (.yaml).")
    ] = None,
    trust_checkpoint: Annotated[
        bool, typer.Option("--trust-checkpoint", help="Let the checkpoint run code of its maker's choosing.")
    ] = False,
    audio: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Measure on this audio as well. Repeatable.")
    ] = None,
    min_snr: Annotated[
        float | None,
        typer.Option(
            metavar="DB",
            help="Parity gate in dB.",
            show_default="100; fp16 rounded 50; int8 40; engines 90, mnn 75; with --quality its promise",
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Run it in openvino, tract, opencv, mnn or iree and compare with ONNX Runtime. "
            "Without --model, only that. A .tflite runs in litert, a .pte in executorch.",
        ),
    ] = None,
    contract: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Check what a runtime demands: portable, official, minimal, openkara or web; or an engine: "
            "openvino, tract, opencv, mnn or iree. Repeatable. Without --model, only that.",
        ),
    ] = None,
    ops_config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="See whether this reduced-operator config is what it needs."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the measurements as JSON.")] = False,
) -> None:
    """Compare MODEL.onnx with its model in float64; exit 1 below the gate.

    A .pt2, .tflite or .pte that --emit wrote is compared alike.

    With --contract, check what runtimes demand of it; exit code 1 if a contract is broken.

    With --engine, compare another engine with ONNX Runtime; exit code 1 below the gate.

    Only the comparison with the model needs onnx-demucs-compiler and PyTorch.
    """
    from onnx_demucs_compiler.cli.config_check import check_config
    from onnx_demucs_compiler.cli.display import print_comparison, print_fidelity

    emitted = _emitted(artifact, engine, on_onnx=bool(contract or ops_config))
    if emitted:
        engine = None
    if model is None and (contract or engine):
        _check_asked_alone(repo, config, audio or None, None if engine else min_snr)
    parity = bool(model) or not (contract or engine)
    if parity:
        check_compiler("verify against the model")
    found = _lint(artifact, contract or [])
    if ops_config:
        check_config(ops_config, [artifact])
    talks = not (as_json or quiet)
    if found and talks:
        _print_findings(artifact, found)
    compared = _compare(artifact, engine, min_snr) if engine else None
    if compared and talks:
        print_comparison(compared)
    measurements, changed = None, None
    if parity:
        measurements, changed = _measure(
            artifact,
            model,
            repo,
            config=config,
            trust_checkpoint=trust_checkpoint,
            audio=audio or [],
            min_snr=min_snr,
            engine=engine,
            emitted=emitted is not None,
            quiet=quiet,
            talks=talks,
        )
        if talks:
            print_fidelity(measurements, engine or (emitted and emitted.engine) or "compiled")
    if as_json:
        typer.echo(json.dumps(_facts(found, compared, measurements), allow_nan=False))
    _check_kept(artifact, found)
    if compared:
        compared.check()
    if changed:
        raise changed
    if measurements is None:
        _check_unchanged(artifact)


def _emitted(artifact: Path, engine: str | None, *, on_onnx: bool) -> "Target | None":
    """The format beside ONNX that a file has.

    Raises:
        UsageError: the engine does not run it, or a check of ONNX graphs is asked for.
    """
    from onnx_demucs_compiler.targets import EMITTED_FOR, emitted_as

    emitted = emitted_as(artifact)
    if emitted and on_onnx:
        raise UsageError(f"--contract and --ops-config are about ONNX graphs, and {artifact} is none")
    if emitted and engine not in (None, emitted.engine):
        runs = f" but {emitted.engine}" if emitted.engine else ", and needs none"
        raise UsageError(f"--engine {engine}: a .{emitted} runs in no engine{runs}")
    if emitted is None and engine in EMITTED_FOR:
        made = EMITTED_FOR[engine]
        raise UsageError(
            f"--engine {engine} runs .{made} files, which compile --emit {made} makes; {artifact} is none"
        )
    return emitted


def _check_asked_alone(
    repo: Path | None, config: Path | None, audio: list[Path] | None, min_snr: float | None
) -> None:
    if any(other is not None for other in (repo, config, audio, min_snr)):
        raise UsageError(
            "--repo, --config, --audio and --min-snr are for parity, which --contract and --engine alone do "
            "not measure; add --model NAME"
        )


def _lint(artifact: Path, contracts: list[str]) -> "dict[str, tuple[Finding, ...]]":
    """The findings of each contract; empty without contracts."""
    if not contracts:
        return {}
    from onnx_demucs_compiler.contracts import lint

    return lint(artifact, contracts)


def _compare(artifact: Path, engine: str, min_snr: float | None) -> "Comparison":
    from onnx_demucs_compiler.checking.other_engine import compare
    from onnx_demucs_compiler.engines import engine_named

    return compare(artifact, engine_named(engine), min_snr)


def _measure(
    artifact: Path,
    model: str | None,
    repo: Path | None,
    *,
    config: Path | None,
    trust_checkpoint: bool,
    audio: list[Path],
    min_snr: float | None,
    engine: str | None,
    emitted: bool,
    quiet: bool,
    talks: bool,
) -> "tuple[tuple[Measurement, ...], ChangedError | None]":
    """Measure against the model in float64; print warnings.

    Returns:
        The measurements, and the error to end with if the file was changed.
    """
    from onnx_demucs_compiler.checking.verification import ChangedError, artifact_metadata, gate_of
    from onnx_demucs_compiler.checking.verification import verify as verify_artifact
    from onnx_demucs_compiler.cli.display import steps
    from onnx_demucs_compiler.cli.excerpt import excerpt_signals
    from onnx_demucs_compiler.cli.warning import print_warnings
    from onnx_demucs_compiler.emit.measuring import emitted_metadata, verify_emitted
    from onnx_demucs_compiler.loading import load_model

    with steps(visible=talks) as on_step:
        on_step("load")
        metadata = emitted_metadata(artifact) if emitted else artifact_metadata(artifact)
        gate = gate_of(metadata, min_snr, engine)
        named = metadata.model
        try:
            source = load_model(model or named, repo, config=config, trust_checkpoint=trust_checkpoint)
        except UsageError as error:
            if model:
                raise
            raise UsageError(
                f"{artifact} was compiled from {named}; give its location with --model ({error})"
            ) from error
        on_step("verify")
        changed: ChangedError | None = None
        asked: dict[str, Any] = {
            "min_snr_db": min_snr,
            "extra_signals": excerpt_signals(audio, source, metadata.segment, quiet=quiet),
        }
        try:
            if emitted:
                measurements = verify_emitted(artifact, source, **asked)
            else:
                measurements = verify_artifact(artifact, source, engine=engine, **asked)
        except ChangedError as error:
            if not error.measurements:
                raise
            changed, measurements = error, error.measurements
    older = (
        ()
        if metadata.digest or emitted
        else (f"{artifact} is older than the digest that would tell of a change",)
    )
    print_warnings((*source.warnings, *older, *gate.warnings(measurements)), quiet=quiet)
    return measurements, changed


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


def _facts(
    found: "dict[str, tuple[Finding, ...]]",
    compared: "Comparison | None",
    measurements: "tuple[Measurement, ...] | None",
) -> Any:
    """The object for ``--json``; of measurements alone, their list."""
    from onnx_demucs_compiler.checking.decibels import finite

    measured = finite([asdict(item) for item in measurements or ()])
    if not (found or compared):
        return measured
    facts: dict[str, Any] = {}
    if found:
        facts["contracts"] = [
            {
                "contract": name,
                "kept": not any(finding.breaks for finding in findings),
                "findings": [asdict(finding) | {"nodes": list(finding.nodes)} for finding in findings],
            }
            for name, findings in found.items()
        ]
    if compared:
        facts["engine"] = finite(asdict(compared))
    if measurements is not None:
        facts["fidelity"] = measured
    return facts


def _check_unchanged(path: Path) -> None:
    """Refuse a compiled file that was changed."""
    from onnx_demucs_compiler.cli.change import change_of
    from onnx_demucs_compiler.contracts.reading import read_artifact

    found = change_of(path, read_artifact(path))
    if found.changed:
        raise CompilerError(f"{path} was changed after it was compiled; {found.why}")


def _check_kept(artifact: Path, found: "dict[str, tuple[Finding, ...]]") -> None:
    broken = {name: [finding for finding in findings if finding.breaks] for name, findings in found.items()}
    told = [f"{name}: {findings[0]}" for name, findings in broken.items() if findings]
    if told:
        count = sum(map(len, broken.values()))
        raise CompilerError(
            f"{artifact} breaks {', '.join(name for name in broken if broken[name])} in {count} "
            f"point{'s' if count > 1 else ''}; {'; '.join(told)}"
        )

"""``onnx-demucs verify``: an artefact against the model it was compiled from."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from onnx_demucs_compiler.errors import UsageError


def verify(
    artifact: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="What onnx-demucs compile wrote.")],
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What it was compiled from.", show_default="as its metadata says"),
    ] = None,
    repo: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Look NAME up in this folder of checkpoints.")
    ] = None,
    audio: Annotated[Path | None, typer.Option(metavar="FILE", help="Measure on this audio as well.")] = None,
    min_snr: Annotated[
        float | None, typer.Option(metavar="DB", help="Parity gate in dB.", show_default="100 for fp32")
    ] = None,
    ops_config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="See whether this reduced-operator config is what it needs."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the measurements as JSON.")] = False,
) -> None:
    """Compare MODEL.onnx with its model in float64; exit code 1 below the gate."""
    from onnx_demucs_compiler.cli.config_check import check_config
    from onnx_demucs_compiler.cli.display import print_fidelity, steps
    from onnx_demucs_compiler.cli.excerpt import excerpt_signal
    from onnx_demucs_compiler.loading import load_model
    from onnx_demucs_compiler.report import finite
    from onnx_demucs_compiler.verify import artifact_metadata
    from onnx_demucs_compiler.verify import verify as verify_artifact

    with steps(visible=not (quiet or as_json)) as on_step:
        on_step("load")
        metadata = artifact_metadata(artifact)
        named = metadata.model
        if ops_config:
            check_config(ops_config, [artifact])
        try:
            source = load_model(model or named, repo)
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
        typer.echo(json.dumps(finite([asdict(item) for item in measurements]), allow_nan=False))
    elif not quiet:
        print_fidelity(measurements)

"""``onnx-demucs compile``: a model into an ONNX file, proven equal to it."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from onnx_demucs_compiler.errors import UsageError

if TYPE_CHECKING:
    from onnx_demucs_compiler.artifact import CompiledModel
    from onnx_demucs_compiler.ruleset import RuleSet


def compile(  # noqa: A001 - the command's name
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A pretrained name (htdemucs), a .th checkpoint, or untrained:NAME[?seed=N].",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="OUT.onnx", show_default="NAME.onnx here")
    ] = None,
    repo: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Look MODEL up in this folder of checkpoints.")
    ] = None,
    trust_checkpoint: Annotated[
        bool, typer.Option("--trust-checkpoint", help="Let the checkpoint run code of its maker's choosing.")
    ] = False,
    target: Annotated[
        str, typer.Option(help="Runtime family: portable, or ort (adds com.microsoft operators).")
    ] = "portable",
    interface: Annotated[
        str, typer.Option(help="Cut of the graph: waveform, core, spectral, openkara.")
    ] = "waveform",
    stems: Annotated[
        str | None, typer.Option(metavar="A,B", help="Keep these stems only, in this order.")
    ] = None,
    two_stems: Annotated[
        str | None, typer.Option(metavar="STEM", help="Keep STEM, and what is left without it as no_STEM.")
    ] = None,
    other_method: Annotated[
        Literal["add", "minus"],
        typer.Option(help="What is left: the other stems added, or the mix minus STEM."),
    ] = "add",
    precision: Annotated[str, typer.Option(help="fp32, fp16-weights (half the file) or int8.")] = "fp32",
    opset: Annotated[int | None, typer.Option(metavar="N", help="Of ai.onnx.", show_default="18")] = None,
    batch: Annotated[str, typer.Option(metavar="N", help="First dimension: N or dynamic.")] = "1",
    length: Annotated[
        str, typer.Option(metavar="N", help="Samples in one run: segment, N or dynamic.")
    ] = "segment",
    track: Annotated[
        bool, typer.Option("--track", help="Take tracks of any length in one call, cut into segments inside.")
    ] = False,
    overlap: Annotated[
        float | None,
        typer.Option(
            help="With --track: part of each segment that the next covers too.", show_default="0.25"
        ),
    ] = None,
    ort_format: Annotated[
        bool,
        typer.Option("--ort-format", help="Write OUT.ort too, for minimal builds of ONNX Runtime."),
    ] = False,
    ops_config: Annotated[
        bool, typer.Option("--ops-config", help="Write the operators and types that such builds need, too.")
    ] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write a folder for ort-builder with all of these, not OUT.onnx."),
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(metavar="RULE", help="Leave out a rule, tag or glob. Repeatable.")
    ] = None,
    with_: Annotated[
        list[str] | None, typer.Option("--with", metavar="RULE", help="Add a rule not on by default.")
    ] = None,
    plugin: Annotated[
        list[str] | None, typer.Option(metavar="PACK", help="Add an installed rule pack. Repeatable.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Print every firing and refusal.")] = False,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as JSON.")] = None,
    sha256: Annotated[
        bool, typer.Option("--sha256", help="Write OUT.onnx.sha256 too, for sha256sum --check.")
    ] = False,
    sbom: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a bill of materials too (CycloneDX JSON).")
    ] = None,
    verify_audio: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Verify on this audio as well.")
    ] = None,
    min_snr: Annotated[
        float | None,
        typer.Option(metavar="DB", help="Parity gate in dB.", show_default="100; fp16 rounded 50; int8 40"),
    ] = None,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Skip the parity check.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Compile MODEL to one ONNX graph, waveform in, stems out.

    The graph is compared with the model in float64 before anything is written. Exit code 1 means that
    the work failed, 2 that the command is wrong.
    """
    from onnx_demucs_compiler.cli.display import print_report, steps
    from onnx_demucs_compiler.cli.excerpt import excerpt_signal
    from onnx_demucs_compiler.cli.outputs import Outputs
    from onnx_demucs_compiler.compiler import compile as compile_model
    from onnx_demucs_compiler.loading import load_model
    from onnx_demucs_compiler.options import Options
    from onnx_demucs_compiler.ort.bundle import MODEL

    choices: dict[str, Any] = {
        "target": target,
        "interface": interface,
        "precision": precision,
        "track": track,
        "stems": _names(stems),
        "two_stems": two_stems,
        "other_method": other_method,
        **_numbers(opset, batch, length),
        **_overlap(track, overlap),
    }
    options = Options(**choices)
    rules = _rules(without or [], with_ or [], plugin or [])
    if no_verify and (verify_audio or min_snr is not None):
        raise UsageError("--no-verify excludes --verify-audio and --min-snr; leave one of them out")
    if no_verify and precision == "int8":
        raise UsageError("--no-verify excludes --precision int8, which is chosen by measuring; leave it out")
    if min_snr is not None and not math.isfinite(min_snr):
        raise UsageError(f"--min-snr {min_snr} is no gate; give a number of dB")
    if bundle and (output or ort_format or ops_config or sha256):
        raise UsageError(
            "--bundle excludes --output, --ort-format, --ops-config and --sha256, all of which it implies"
        )
    path = bundle / MODEL if bundle else output or Path(f"{_file_name(model)}.onnx")
    outputs = Outputs(path, bundle, ort_format, ops_config, sha256, report, sbom)
    outputs.check(read=[Path(model), verify_audio], force=force)

    with steps(visible=not (quiet or as_json)) as on_step:
        on_step("load")
        source = load_model(model, repo, trust_checkpoint=trust_checkpoint)
        compiled = compile_model(
            source,
            rules,
            **choices,
            verify=not no_verify,
            min_snr_db=min_snr,
            extra_signals=excerpt_signal(verify_audio, source, options.length),
            on_step=on_step,
        )
        on_step("write")
        outputs.write(compiled, force=force)
    if as_json:
        typer.echo(_summary(compiled, path))
    elif not quiet:
        print_report(compiled.report, path, explain=explain)


def _numbers(opset: int | None, batch: str, length: str) -> dict[str, Any]:
    chosen: dict[str, Any] = {
        "batch": int(batch) if batch.isdecimal() else batch,
        "length": int(length) if length.isdecimal() else length,
    }
    return chosen if opset is None else chosen | {"opset": opset}


def _overlap(track: bool, overlap: float | None) -> dict[str, float]:
    if overlap is None:
        return {}
    if not track:
        raise UsageError("--overlap goes with --track; onnx-demucs separate has its own")
    return {"overlap": overlap}


def _names(stems: str | None) -> tuple[str, ...] | None:
    return None if stems is None else tuple(name.strip() for name in stems.split(","))


def _rules(without: list[str], with_: list[str], packs: list[str]) -> "RuleSet":
    from onnx_demucs_compiler.ruleset import bundled, default_rules, plugins

    rules = default_rules() | plugins(*packs)
    if with_:
        rules = rules | bundled().only(*with_)
    return rules - without if without else rules


def _file_name(model: str) -> str:
    from onnx_demucs_compiler.runtime.output import safe_name

    is_file = model.endswith((".th", ".safetensors"))
    return safe_name(Path(model).stem if is_file else model.removeprefix("untrained:"))


def _summary(compiled: "CompiledModel", path: Path) -> str:
    return json.dumps({"output": str(path)} | json.loads(compiled.report.to_json()), ensure_ascii=False)

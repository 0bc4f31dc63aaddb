"""``onnx-demucs compile``: a model into an ONNX file, proven equal to it."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.installation import check_compiler

if TYPE_CHECKING:
    from onnx_demucs_compiler.artifact.compiled import CompiledModel
    from onnx_demucs_compiler.artifact.emitted import EmittedModel
    from onnx_demucs_compiler.rules.ruleset import RuleSet


def compile(  # noqa: A001 - the command's name
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A pretrained name (htdemucs), a checkpoint, or untrained:NAME[?seed=N].",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="OUT.onnx", show_default="NAME.onnx here")
    ] = None,
    emit: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            help="Write another format, OUT.FORMAT, in place of ONNX: pt2, tflite, pte or mlpackage.",
        ),
    ] = None,
    repo: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Look MODEL up in this folder of checkpoints.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The checkpoint's configuration (.yaml), for RoFormers and others."
        ),
    ] = None,
    trust_checkpoint: Annotated[
        bool, typer.Option("--trust-checkpoint", help="Let the checkpoint run code of its maker's choosing.")
    ] = False,
    target: Annotated[
        str,
        typer.Option(
            help="Runtime family: portable; ort (adds com.microsoft operators); web (in browsers); openvino."
        ),
    ] = "portable",
    interface: Annotated[
        str, typer.Option(help="Cut of the graph: waveform, core, spectral, openkara.")
    ] = "waveform",
    stems: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Keep these stems only, in this order. A comma in a name: \\,"),
    ] = None,
    two_stems: Annotated[
        str | None, typer.Option(metavar="STEM", help="Keep STEM, and what is left without it as no_STEM.")
    ] = None,
    other_method: Annotated[
        Literal["add", "minus"],
        typer.Option(help="What is left: the other stems added, or the mix minus STEM."),
    ] = "add",
    precision: Annotated[
        str | None,
        typer.Option(
            help="fp32, fp16-weights (half the file) or int8; for mlpackage fp32 or fp16.",
            show_default="fp32; for web fp16 where it is exact",
        ),
    ] = None,
    quality: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Promise of the stems, in place of --precision and --min-snr: exact, careful or fast.",
        ),
    ] = None,
    fold_weights: Annotated[
        bool, typer.Option("--fold-weights", help="Store what is computed from weights, for quantisers.")
    ] = False,
    opset: Annotated[int | None, typer.Option(metavar="N", help="Of ai.onnx.", show_default="18")] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            metavar="N", help="First dimension: N or dynamic.", show_default="1; dynamic for --triton"
        ),
    ] = None,
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
    external_data: Annotated[
        bool | None,
        typer.Option(
            "--external-data/--no-external-data",
            help="Write weights to a file of their own, OUT.onnx.data.",
            show_default="for web",
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
    triton: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Add the model to this model repository of Triton, not OUT.onnx."),
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
    dump: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the program and the graph after each rule, with diffs."),
    ] = None,
    verify_each: Annotated[
        bool, typer.Option("--verify-each", help="Measure parity after each rule, and name who loses it.")
    ] = False,
    stop_after: Annotated[
        str | None, typer.Option(metavar="RULE", help="Write the graph as it is after RULE, to look at.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report: .json, or .html as a page.")
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Time the graph's operators in ONNX Runtime for the report.")
    ] = False,
    weights_license: Annotated[
        str, typer.Option(metavar="NAME", help="The weights' licence, for the metadata.", show_default=False)
    ] = "",
    sha256: Annotated[
        bool, typer.Option("--sha256", help="Write OUT.onnx.sha256 too, for sha256sum --check.")
    ] = False,
    sbom: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a bill of materials too (CycloneDX JSON).")
    ] = None,
    verify_audio: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Verify on this audio as well. Repeatable.")
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
    check_compiler("compile")
    from onnx_demucs_compiler.checking.fidelity import Gate
    from onnx_demucs_compiler.checking.promises import check_alone
    from onnx_demucs_compiler.cli.display import print_report, steps
    from onnx_demucs_compiler.cli.excerpt import excerpt_signals
    from onnx_demucs_compiler.cli.outputs import Outputs
    from onnx_demucs_compiler.cli.warning import print_warnings
    from onnx_demucs_compiler.compiler import compile as compile_model
    from onnx_demucs_compiler.emit.pipeline import check_emittable
    from onnx_demucs_compiler.loading import load_model
    from onnx_demucs_compiler.observe.dump import Dump
    from onnx_demucs_compiler.options import Options
    from onnx_demucs_compiler.ort import bundle as bundles
    from onnx_demucs_compiler.serving import triton as repositories

    usual_batch = "dynamic" if triton and not track else "1"
    choices: dict[str, Any] = {
        "target": target,
        "emit": emit,
        "interface": interface,
        "track": track,
        "stems": _names(stems),
        "two_stems": two_stems,
        "other_method": other_method,
        "fold_weights": fold_weights,
        "weights_license": weights_license,
        "quality": quality,
        **({} if precision is None else {"precision": precision}),
        **_numbers(opset, usual_batch if batch is None else batch, length),
        **_overlap(track, overlap),
    }
    options = Options(**choices)
    if quality:
        check_alone(precision, min_snr, verify=not no_verify)
    if emit:
        if external_data or ort_format or ops_config or bundle or triton:
            raise UsageError(
                f"--emit {emit} makes no ONNX file, which --external-data, --ort-format, --ops-config, "
                "--bundle and --triton are about; leave out one or the other"
            )
        check_emittable(options, profile=profile, verify_each=verify_each, stop_after=stop_after)
    rules = _rules(without or [], with_ or [], plugin or [])
    if no_verify and (verify_audio or min_snr is not None):
        raise UsageError("--no-verify excludes --verify-audio and --min-snr; leave one of them out")
    if stop_after is not None:
        rules.until(stop_after)
    if no_verify and verify_each:
        raise UsageError("--no-verify excludes --verify-each, which measures; leave one of them out")
    if no_verify and precision == "int8":
        raise UsageError("--no-verify excludes --precision int8, which is chosen by measuring; leave it out")
    Gate.of(options.precision, min_snr)
    if bundle and (output or ort_format or ops_config or sha256):
        raise UsageError(
            "--bundle excludes --output, --ort-format, --ops-config and --sha256, all of which it implies"
        )
    if bundle and external_data:
        raise UsageError("--bundle excludes --external-data: an .ort file is one file; leave one of them out")
    if triton and (output or bundle or external_data or ort_format or ops_config or sha256):
        raise UsageError(
            "--triton excludes --output, --bundle, --external-data, --ort-format, --ops-config and --sha256: "
            "it writes a folder with one file of the model; leave out one or the other"
        )
    served = triton / (_file_name(model) + "_track" * track) if triton else None
    if bundle:
        path = bundle / bundles.MODEL
    else:
        path = served / repositories.MODEL if served else _output(output, model, emit)
    apart = options.made_for.external_data if external_data is None else external_data
    apart = apart and not (bundle or served)
    outputs = Outputs(path, bundle, served, apart, ort_format, ops_config, sha256, report, sbom)
    outputs.check(read=[Path(model), config, *(verify_audio or [])], force=force)
    observer = Dump(dump, force=force) if dump else None

    with steps(visible=not (quiet or as_json)) as on_step:
        on_step("load")
        source = load_model(model, repo, config=config, trust_checkpoint=trust_checkpoint)
        compiled = compile_model(
            source,
            rules,
            **choices,
            verify=not no_verify,
            min_snr_db=min_snr,
            extra_signals=excerpt_signals(verify_audio or [], source, options.length, quiet=quiet),
            on_step=on_step,
            observer=observer,
            profile=profile,
            verify_each=verify_each,
            stop_after=stop_after,
        )
        on_step("write")
        outputs.write(compiled, force=force)
    print_warnings(compiled.report.warnings, quiet=quiet)
    if as_json:
        typer.echo(_summary(compiled, path))
    elif not quiet:
        print_report(compiled.report, path, explain=explain)


def _output(output: Path | None, model: str, emit: str | None) -> Path:
    """The file to write, whose suffix is that of its format."""
    from onnx_demucs_compiler.targets import EMITTED

    suffix = emit or "onnx"
    if output is None:
        return Path(f"{_file_name(model)}.{suffix}")
    named = output.suffix.removeprefix(".").lower()
    if emit and named != emit:
        raise UsageError(f"{output}: what --emit {emit} writes is named OUT.{emit}; give such a name")
    if not emit and named in EMITTED:
        raise UsageError(f"{output} would be an ONNX file; give --emit {named}, or another name")
    return output


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
    if stems is None:
        return None
    return tuple(name.strip().replace("\\,", ",") for name in re.split(r"(?<!\\),", stems))


def _rules(without: list[str], with_: list[str], packs: list[str]) -> "RuleSet":
    from onnx_demucs_compiler.rules.ruleset import bundled, default_rules, plugins

    rules = default_rules() | plugins(*packs)
    if with_:
        rules = rules | bundled().only(*with_)
    return rules - without if without else rules


def _file_name(model: str) -> str:
    from onnx_demucs_compiler.runtime.output import safe_name

    is_file = model.endswith((".th", ".safetensors")) or Path(model).is_file()
    return safe_name(Path(model).stem if is_file else model.removeprefix("untrained:"))


def _summary(compiled: "CompiledModel | EmittedModel", path: Path) -> str:
    return json.dumps({"output": str(path)} | json.loads(compiled.report.to_json()), ensure_ascii=False)

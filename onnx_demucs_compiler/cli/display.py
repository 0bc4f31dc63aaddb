"""Progress and tables, as commands print them."""

from __future__ import annotations

import math
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from onnx_demucs_compiler.tracing.quiet import debugging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from onnx_demucs_compiler.checking.fidelity import Measurement
    from onnx_demucs_compiler.checking.other_engine import Comparison
    from onnx_demucs_compiler.observe.trial import Trial
    from onnx_demucs_compiler.report import Report

WIDTH_OF_A_FILE = 160

ABSENT = "absent: so far below the mix that the gate is on the error to the mix"

STEPS = {
    "load": "loading the model",
    "trace": "tracing with torch.export",
    "decompose": "lowering STFT, complex values and norms",
    "translate": "translating to ONNX",
    "rewrite": "rewriting subgraphs",
    "surgery": "operating on the graph",
    "reference": "running the model in float64",
    "quantise": "searching for weights that eight bits can hold",
    "convert": "converting",
    "store": "storing the weights",
    "finish": "checking the graph",
    "verify": "comparing the graph with the model",
    "profile": "timing the operators",
    "write": "writing",
}


@contextmanager
def steps(*, visible: bool) -> Iterator[Callable[[str], None]]:
    """Show the step under way on stderr, if that is a terminal."""
    # The stream itself: sys.stderr is turned away while the tools run.
    console = Console(file=sys.stderr)
    if not (visible and console.is_terminal) or debugging():
        yield lambda _: None
        return
    with console.status("") as status:

        def show(step: str) -> None:
            position = list(STEPS).index(step) + 1
            status.update(f"[{position}/{len(STEPS)}] {STEPS[step]}")

        yield show


def print_report(report: Report, path: Path, *, explain: bool) -> None:
    """The account of a compile, on stdout."""
    console = stdout()
    if explain:
        console.print(_events(report))
    console.print(_rules(report))
    if report.parity:
        console.print(_parity(report))
    if report.fidelity:
        print_fidelity(report.fidelity)
    else:
        console.print("not verified (--no-verify)")
    if report.operator_seconds:
        console.print(_times(report.operator_seconds))
    if report.chosen:
        console.print(report.chosen, soft_wrap=True)
    elif report.speedup is not None:
        console.print(f"{len(report.options['keep'])} weights kept out of int8 for {report.min_snr_db:g} dB")
    if report.speedup is not None:
        console.print(f"{report.speedup:.2f} times as fast as float32 here")
    console.print(f"{path}: {_size(report)}, {sum(report.seconds.values()):.0f} s", soft_wrap=True)


def _size(report: Report) -> str:
    size = f"{report.bytes / 1e6:.1f} MB"
    if not report.opset:
        return f"{size}, {report.nodes} operators of {len(report.operators)} kinds"
    return (
        f"{size}, {report.nodes} nodes, {report.flop / 1e9:.3g} GFLOP, "
        f"{report.constant_bytes / 1e6:.1f} MB of constants beside the weights, {_stored(report.stored)}, "
        f"opset {report.opset}, IR {report.ir_version}"
    )


def print_fidelity(measurements: Iterable[Measurement], whose: str = "compiled") -> None:
    """Print SNR against float64 beside PyTorch's own, and the error's level."""
    measurements = tuple(measurements)
    table = Table(
        title="SNR against the model in float64 (dB)",
        title_justify="left",
        caption=ABSENT if any(item.absent for item in measurements) else None,
        caption_justify="left",
    )
    for heading in ("signal", "output"):
        table.add_column(heading)
    for heading in (whose, "PyTorch float32", "error to mix", "max abs error"):
        table.add_column(heading, justify="right")
    for item in measurements:
        table.add_row(
            item.signal,
            f"{item.output} (absent)" if item.absent else item.output,
            _db(item.snr_db),
            _db(item.torch_snr_db),
            _to_mix(item.error_to_mix_db),
            f"{item.max_abs_error:.1e}",
        )
    stdout().print(table)


def print_comparison(comparison: Comparison) -> None:
    """Print an engine's SNR against ONNX Runtime, and the costs of both."""
    absent = any(item.absent for item in comparison.agreements)
    table = Table(
        title=f"SNR of {comparison.title} against ONNX Runtime (dB)",
        title_justify="left",
        caption=ABSENT if absent else None,
        caption_justify="left",
    )
    for heading in ("signal", "output"):
        table.add_column(heading)
    for heading in ("SNR", "error to mix"):
        table.add_column(heading, justify="right")
    for item in comparison.agreements:
        name = f"{item.output} (absent)" if item.absent else item.output
        table.add_row(item.signal, name, _db(item.snr_db), _to_mix(item.error_to_mix_db))
    costs = Table(title="one thread each, in turn", title_justify="left")
    costs.add_column("")
    for heading in ("s to open", "s per run", "CPU s", "peak memory, MB"):
        costs.add_column(heading, justify="right")
    for cost in comparison.costs:
        seconds = (cost.open_seconds, cost.seconds, cost.cpu_seconds)
        costs.add_row(
            f"{cost.engine} {cost.version}",
            *(f"{figure:.3g}" for figure in seconds),
            _if(cost.peak_mb is not None, f"{cost.peak_mb}"),
        )
    console = stdout()
    console.print(table)
    console.print(costs)


def print_trial(trial: Trial) -> None:
    """Print both graphs of a trial side by side."""
    table = Table()
    table.add_column("", overflow="fold")
    for heading in ("without", "with"):
        table.add_column(heading, justify="right")
    table.add_row("fires", "", str(trial.fires))
    for reason, count in trial.refusals.items():
        table.add_row(f"refuses: {reason}", "", str(count))
    table.add_section()
    sides = (trial.without, trial.with_rule)
    table.add_row("nodes", *(_if(side.operators, f"{side.nodes}") for side in sides))
    table.add_row("kB", *(_if(side.operators, f"{side.bytes / 1e3:.1f}") for side in sides))
    table.add_row("SNR (dB)", *(_if(not side.error, _db(side.snr_db)) for side in sides))
    table.add_row("milliseconds", *(_if(not side.error, f"{side.milliseconds:.3g}") for side in sides))
    table.add_section()
    for operator, *counts in trial.histogram():
        table.add_row(
            operator, *(_if(side.operators, f"{count}") for side, count in zip(sides, counts, strict=True))
        )
    console = stdout()
    console.print(f"{trial.rule} on {trial.model}", soft_wrap=True)
    console.print(table)
    if trial.without.error:
        console.print(f"without the rule: {trial.without.error}", soft_wrap=True)


def _if(known: object, text: str) -> str:
    return text if known else ""


def stdout() -> Console:
    """A console that prints brackets and colons literally."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = max(console.width, WIDTH_OF_A_FILE)
    return console


def _db(value: float) -> str:
    return "exact" if value == math.inf else f"{value:.1f}"


def _to_mix(value: float) -> str:
    return "" if math.isnan(value) else "exact" if value == -math.inf else f"{value:.1f}"


def _stored(stored: dict[str, int]) -> str:
    return " + ".join(f"{size / 1e6:.1f} MB {how}" for how, size in stored.items())


def _rules(report: Report) -> Table:
    table = Table(title=f"{report.model} ({report.provenance})", title_justify="left")
    table.add_column("rule", no_wrap=True)
    table.add_column("stage")
    for heading in ("fired", "refused", "nodes", "ms"):
        table.add_column(heading, justify="right")
    for cost in report.costs:
        table.add_row(
            cost.rule,
            cost.stage,
            str(cost.fires),
            str(cost.refusals),
            f"{cost.nodes:+d}",
            f"{cost.seconds * 1000:.0f}",
        )
    return table


def _times(operator_seconds: dict[str, float]) -> Table:
    table = Table()
    table.add_column("operator in ONNX Runtime")
    table.add_column("ms", justify="right")
    for operator, seconds in operator_seconds.items():
        table.add_row(operator, f"{seconds * 1000:.2f}")
    return table


def _parity(report: Report) -> Table:
    table = Table(title="SNR on noise after each rule (dB)", title_justify="left")
    table.add_column("after", no_wrap=True)
    for heading in ("fired", "against float64", "against the one before"):
        table.add_column(heading, justify="right")
    for parity in report.parity:
        before = "" if math.isnan(parity.before_db) else _db(parity.before_db)
        table.add_row(parity.moment, str(parity.fires or ""), _db(parity.snr_db), before)
    return table


def _events(report: Report) -> Table:
    table = Table(title="every firing and refusal", title_justify="left")
    for heading in ("rule", "node", "module", "source", "outcome"):
        table.add_column(heading, overflow="fold")
    for event in report.events:
        table.add_row(event.rule, event.node, event.module, event.source, event.reason or "fired")
    return table

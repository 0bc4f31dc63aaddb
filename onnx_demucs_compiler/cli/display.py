"""What the commands show a person: steps under way, and tables."""

from __future__ import annotations

import math
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from onnx_demucs_compiler.fidelity import Measurement
    from onnx_demucs_compiler.report import Report

WIDTH_OF_A_FILE = 160

STEPS = {
    "load": "loading the model",
    "trace": "tracing with torch.export",
    "decompose": "lowering STFT, complex values and norms",
    "translate": "translating to ONNX",
    "rewrite": "rewriting subgraphs",
    "surgery": "operating on the graph",
    "quantise": "searching for weights that eight bits can hold",
    "finish": "checking the graph",
    "verify": "comparing with the model in float64",
    "write": "writing",
}


@contextmanager
def steps(*, visible: bool) -> Iterator[Callable[[str], None]]:
    """Show on stderr, if that is a terminal, which step of how many is under way."""
    # The stream itself: sys.stderr is turned away while the tools run.
    console = Console(file=sys.stderr)
    if not (visible and console.is_terminal):
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
    if report.fidelity:
        print_fidelity(report.fidelity)
    else:
        console.print("not verified (--no-verify)")
    if report.speedup is not None:
        console.print(
            f"{len(report.options['keep'])} weights kept out of int8 for {report.min_snr_db:g} dB; "
            f"{report.speedup:.2f} times as fast as float32 here"
        )
    console.print(
        f"{path}: {report.bytes / 1e6:.1f} MB, {report.nodes} nodes, {report.flop / 1e9:.3g} GFLOP, "
        f"{report.constant_bytes / 1e6:.1f} MB of constants beside the weights, "
        f"{_stored(report.stored)}, "
        f"opset {report.opset}, IR {report.ir_version}, {sum(report.seconds.values()):.0f} s",
        soft_wrap=True,
    )


def print_fidelity(measurements: Iterable[Measurement]) -> None:
    """SNR against float64, beside what PyTorch itself reaches in float32."""
    table = Table(title="SNR against the model in float64 (dB)", title_justify="left")
    for heading in ("signal", "output"):
        table.add_column(heading)
    for heading in ("compiled", "PyTorch float32", "max abs error"):
        table.add_column(heading, justify="right")
    for item in measurements:
        table.add_row(
            item.signal, item.output, _db(item.snr_db), _db(item.torch_snr_db), f"{item.max_abs_error:.1e}"
        )
    stdout().print(table)


def stdout() -> Console:
    """A console that prints brackets and colons as they are: lines of Python and paths are full of them."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = max(console.width, WIDTH_OF_A_FILE)
    return console


def _db(value: float) -> str:
    return "exact" if value == math.inf else f"{value:.1f}"


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


def _events(report: Report) -> Table:
    table = Table(title="every firing and refusal", title_justify="left")
    for heading in ("rule", "node", "source", "outcome"):
        table.add_column(heading, overflow="fold")
    for event in report.events:
        table.add_row(event.rule, event.node, event.source, event.reason or "fired")
    return table

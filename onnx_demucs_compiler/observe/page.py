"""The report of a compile as one self-contained page of HTML."""

from __future__ import annotations

import math
from collections import Counter
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

from onnx_demucs_compiler.observe.style import STYLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from onnx_demucs_compiler.checking.fidelity import Measurement
    from onnx_demucs_compiler.observe.memory import MemorySample
    from onnx_demucs_compiler.report import Report, RuleCost

SHOWN = 14
"""Operators in a chart; the others are one bar."""


def report_page(report: Report) -> str:
    """The report as HTML, without scripts or anything loaded from elsewhere."""
    parts = [
        _head(report),
        _warnings(report.warnings),
        _fidelity(report),
        _operators(report),
        _rules(report),
        _run(report),
        f"<footer>{_versions(report)}Written by onnx-demucs compile --report.</footer>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>{escape(report.model)}: compile report</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body>\n</html>\n"
    )


def _versions(report: Report) -> str:
    return f"opset {report.opset}, IR version {report.ir_version}. " if report.opset else ""


def _head(report: Report) -> str:
    stored = ", ".join(f"{_bytes(size)} {how}" for how, size in report.stored.items())
    tiles = [
        *_parity_tile(report),
        ("file", _bytes(report.bytes), stored),
        ("nodes", f"{report.nodes:,}", f"{len(report.operators)} operators"),
        *([("arithmetic", _flop(report.flop), "in one run")] if report.opset else []),
        ("compiled in", _seconds(sum(report.seconds.values())), _peak(report.memory)),
    ]
    if report.speedup is not None:
        tiles.append(("speed", f"{report.speedup:.2f} &times;", "of float32, here"))
    return (
        f'<header>\n<h1>{escape(report.model)}</h1>\n<p class="muted">{escape(report.provenance)}</p>\n'
        f'<ul class="options">{_options(report)}</ul>\n{_chosen(report)}<dl class="tiles">'
        + "".join(
            f"<div><dt>{name}</dt><dd>{figure}</dd><small>{escape(note)}</small></div>"
            for name, figure, note in tiles
        )
        + "</dl>\n</header>"
    )


def _chosen(report: Report) -> str:
    return f"<p>{escape(report.chosen)}</p>\n" if report.chosen else ""


def _parity_tile(report: Report) -> list[tuple[str, str, str]]:
    if not report.fidelity:
        return [("parity", "not verified", "")]
    heard = [item.gated_db for item in report.fidelity if not item.only_peak_counts]
    worst = min(heard, default=math.inf, key=lambda figure: -math.inf if math.isnan(figure) else figure)
    return [("least parity", _db(worst), f"gate {_gate(report)}")]


def _gate(report: Report) -> str:
    return report.promise or f"{report.min_snr_db:g} dB"


def _options(report: Report) -> str:
    shown = {
        name: f"{len(value)} weights" if name == "keep" else _option(value)
        for name, value in report.options.items()
        if value not in (None, False, (), [])
    }
    for name, meant_for in (("overlap", "track"), ("other_method", "two_stems")):
        if not report.options.get(meant_for):
            shown.pop(name, None)
    return "".join(
        f'<li><span class="muted">{escape(name.replace("_", " "))}</span> {escape(value)}</li>'
        for name, value in shown.items()
    )


def _option(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "yes" if value is True else str(value)


def _warnings(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    items = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    return f'<section class="warnings">\n<h2>Warnings</h2>\n<ul>{items}</ul>\n</section>'


def _fidelity(report: Report) -> str:
    if not report.fidelity:
        return ""
    gate = report.min_snr_db or 0.0
    figures = [figure for item in report.fidelity for figure in (item.gated_db, item.torch_gated_db)]
    end = max([gate, 1.0, *(figure for figure in figures if math.isfinite(figure))]) * 1.05
    charts = "".join(
        f"<div>\n<h3>{escape(signal)}</h3>\n{''.join(_pair(item, gate, end) for item in items)}</div>\n"
        for signal, items in groupby(report.fidelity, lambda item: item.signal)
    )
    note = ""
    if any(item.absent for item in report.fidelity):
        note = (
            "<p><small>E: the stem is absent, so far below the mix that the gate is on the error; the bar is "
            "how far the error lies below the mix.</small></p>\n"
        )
    return (
        "<section>\n<h2>Signal-to-noise ratio against the model in float64</h2>\n"
        '<div class="legend"><span><i></i>compiled graph</span>'
        '<span><i class="other"></i>PyTorch float32</span>'
        f'<span><i class="gate"></i>gate, {_gate(report)}</span></div>\n'
        f'<div class="columns">\n{charts}</div>\n{note}</section>'
    )


def _pair(item: Measurement, gate: float, end: float) -> str:
    """The bars of one output: the graph, PyTorch, the gate across both."""
    name = f'<span title="{escape(item.output)}">{escape(item.output)}</span>'
    if item.only_peak_counts:
        peak = f"silent; off by {item.max_abs_error:.1e} at most" if item.max_abs_error else "silent; exact"
        return f'<div class="bar pair">{name}<span class="silent muted">{peak}</span></div>\n'
    ours, theirs = (
        f'<i class="{kind}" style="width:{_percent(figure, end)}"></i>'
        for kind, figure in (("main", item.gated_db), ("other", item.torch_gated_db))
    )
    letter = "E " if item.absent else ""
    figures = f"{letter}{_db(item.gated_db)}<br><span class='muted'>{_db(item.torch_gated_db)}</span>"
    line = f'<b style="left:{_percent(gate, end)}"></b>'
    return (
        f'<div class="bar pair">{name}<span class="track">{ours}{theirs}{line}</span>'
        f"<span>{figures}</span></div>\n"
    )


def _operators(report: Report) -> str:
    charts = [_chart("By number", report.operators, "{:,.0f}".format)]
    if report.operator_bytes:
        charts.append(_chart("By bytes of weights and constants", report.operator_bytes, _bytes))
    if report.operator_seconds:
        charts.append(_chart("By time in ONNX Runtime", report.operator_seconds, _seconds))
    return f'<section>\n<h2>Operators</h2>\n<div class="columns">\n{"".join(charts)}</div>\n</section>'


def _chart(title: str, figures: Mapping[str, float], in_words: Callable[[float], str]) -> str:
    ranked = sorted(figures.items(), key=lambda item: -item[1])
    shown, rest = ranked[:SHOWN], ranked[SHOWN:]
    if rest:
        shown.append((f"{len(rest)} others", sum(figure for _, figure in rest)))
    longest = max((figure for _, figure in shown), default=0)
    bars = "".join(
        _bar(name, figure, longest, in_words(figure), "other" if name not in figures else "")
        for name, figure in shown
    )
    return f"<div>\n<h3>{title}</h3>\n{bars}</div>\n"


def _bar(name: str, figure: float, longest: float, words: str, kind: str = "") -> str:
    width = _percent(figure, longest)
    return (
        f'<div class="bar"><span title="{escape(name)}">{escape(name)}</span>'
        f'<span class="track"><i class="{kind}" style="width:{width}"></i></span><span>{words}</span></div>\n'
    )


def _rules(report: Report) -> str:
    fired = [cost for cost in report.costs if cost.fires]
    rows = "".join(map(_rule, fired))
    return (
        f"<section>\n<h2>Rules that fired</h2>\n"
        '<div class="scroll"><table>\n<tr><th>rule</th><th class="text">stage</th><th>fires</th>'
        "<th>nodes</th><th></th><th>constants</th><th></th><th>time</th></tr>\n"
        f"{rows}</table></div>\n{_refusals(report)}</section>"
    )


def _rule(cost: RuleCost) -> str:
    cells = [
        f"<td>{escape(cost.rule)}</td>",
        f'<td class="text muted">{escape(cost.stage)}</td>',
        f"<td>{cost.fires}</td>",
        f"<td>{_before_and_after(cost.nodes_before, cost.nodes, '{:,}'.format)}</td>",
        f"<td>{_change(cost.nodes, '{:,}'.format)}</td>",
        f"<td>{_before_and_after(cost.bytes_before, cost.bytes, _bytes)}</td>",
        f"<td>{_change(cost.bytes, _bytes)}</td>",
        f"<td>{_seconds(cost.seconds)}</td>",
    ]
    return f"<tr>{''.join(cells)}</tr>\n"


def _before_and_after(before: int | None, change: int, in_words: Callable[[int], str]) -> str:
    if before is None:
        return ""
    words = " → ".join(dict.fromkeys([in_words(before), in_words(before + change)]))
    return f'<span class="muted">{words}</span>'


def _change(change: int, in_words: Callable[[int], str]) -> str:
    return f"{'+' if change > 0 else '&minus;'}{in_words(abs(change))}" if change else ""


def _refusals(report: Report) -> str:
    """Every refusal with its reason, folded away."""
    counts = Counter((event.rule, event.reason) for event in report.events if event.reason)
    if not counts:
        return ""
    rows = "".join(
        f'<tr><td>{escape(rule)}</td><td>{count}</td><td class="reason">{escape(reason or "")}</td></tr>\n'
        for (rule, reason), count in counts.items()
    )
    return (
        f"<details><summary>{counts.total():,} refusals, and why</summary>\n"
        '<div class="scroll"><table>\n<tr><th>rule</th><th>times</th><th class="text">reason</th></tr>\n'
        f"{rows}</table></div></details>\n"
    )


def _run(report: Report) -> str:
    """The compile itself: time and memory, step by step."""
    longest = max(report.seconds.values(), default=0.0)
    peaks = _peaks(report.memory)
    bars = "".join(
        _bar(
            step, seconds, longest, _seconds(seconds) + (f", {_bytes(peaks[step])}" if step in peaks else "")
        )
        for step, seconds in report.seconds.items()
    )
    what = "Time and peak of memory" if peaks else "Time"
    return (
        f"<section>\n<h2>The compile, step by step</h2>\n{_memory(report.memory)}"
        f'<div class="steps">\n<h3>{what} of each step</h3>\n{bars}</div>\n</section>'
    )


def _memory(samples: Sequence[MemorySample]) -> str:
    """Memory over time as an area, on bands that are the steps."""
    if not samples:
        return ""
    end = samples[-1].seconds or 1.0
    top = 1.08 * max(sample.bytes for sample in samples)
    points = " ".join(
        f"{1000 * sample.seconds / end:.1f},{100 - 100 * sample.bytes / top:.1f}" for sample in samples
    )
    first = 1000 * samples[0].seconds / end
    bands = "".join(
        f'<rect class="band" x="{1000 * start / end:.1f}" width="{1000 * (stop - start) / end:.1f}" '
        f'y="0" height="100"><title>{escape(step)}</title></rect>'
        for index, (step, start, stop) in enumerate(_spans(samples))
        if index % 2
    )
    return (
        '<figure>\n<svg viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" '
        f'aria-label="Resident memory over the run: at most {_bytes(max(s.bytes for s in samples))}">'
        f'{bands}<polygon class="area" vector-effect="non-scaling-stroke" '
        f'points="{first:.1f},100 {points} 1000,100"/></svg>\n'
        f"<figcaption>Memory of the process over {_seconds(end)}, {_peak(samples)}; "
        "bands are the steps below, in their order.</figcaption>\n</figure>\n"
    )


def _spans(samples: Sequence[MemorySample]) -> list[tuple[str, float, float]]:
    """Each step with its first and its last moment."""
    steps = [(step, list(of_step)) for step, of_step in groupby(samples, lambda sample: sample.step)]
    return [(step, of_step[0].seconds, of_step[-1].seconds) for step, of_step in steps]


def _peaks(samples: Iterable[MemorySample]) -> dict[str, int]:
    peaks: dict[str, int] = {}
    for sample in samples:
        peaks[sample.step] = max(sample.bytes, peaks.get(sample.step, 0))
    return peaks


def _peak(samples: Iterable[MemorySample]) -> str:
    peaks = _peaks(samples)
    return f"at most {_bytes(max(peaks.values()))}" if peaks else ""


def _percent(figure: float, end: float) -> str:
    """The width of a bar.

    Full for an infinite figure, none for NaN and below zero.
    """
    share = figure / end if end and not math.isnan(figure) else 0.0
    return f"{100 * min(max(share, 0.0), 1.0):.1f}%"


def _db(value: float) -> str:
    if math.isnan(value):
        return "not a number"
    return "exact" if value == math.inf else f"{value:.1f} dB"


def _bytes(size: float) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size:.0f} B"


def _flop(flop: int) -> str:
    unit, scale = ("GFLOP", 1e9) if flop >= 1e8 else ("MFLOP", 1e6)
    return f"{flop / scale:.3g} {unit}"


def _seconds(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{1e3 * seconds:.3g} ms" if seconds >= 1e-3 else f"{1e6 * seconds:.3g} µs"

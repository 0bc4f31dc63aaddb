"""The report as a page: whole, escaped, and in need of nothing beside it."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from onnx_demucs_compiler.checking.fidelity import Measurement
from onnx_demucs_compiler.observe.memory import MemorySample
from onnx_demucs_compiler.observe.page import report_page
from onnx_demucs_compiler.report import Event, Report, RuleCost

EMPTY = {"meta", "br", "rect", "polygon"}
REPORT = Report(
    model="tiny",
    provenance="untrained, seed 0",
    options={"target": "portable", "stems": ("drums", "vocals"), "track": False, "overlap": 0.25, "keep": ()},
    events=(
        Event("glu-as-two-convolutions", "rewrite", "glu_1", "demucs.py:7", "encoder.0"),
        Event("mean-in-stages", "decompose", "mean", "", "", "short <enough>"),
        Event("mean-in-stages", "decompose", "mean_1", "", "", "short <enough>"),
    ),
    costs=(
        RuleCost("glu-as-two-convolutions", "rewrite", 1, 0, 0.25, 4, -2048, 1096, 5_000_000),
        RuleCost("stft-as-matmul", "decompose", 3, 0, 1.5, 26),
        RuleCost("mean-in-stages", "decompose", 0, 2),
    ),
    seconds={"load": 0.5, "trace": 2.0},
    nodes=1100,
    operators={"Conv": 300, "Mul": 100},
    operator_bytes={"Conv": 4_000_000, "MatMul": 1_000_000},
    bytes=5_100_000,
    flop=2_500_000_000,
    constant_bytes=0,
    stored={"float32": 5_000_000},
    opset=18,
    ir_version=8,
    fidelity=(
        Measurement("song", "drums", 120.0, 60.0, 1e-7, False, -130.0, -10.0),
        Measurement("song", "vocals", 70.5, 71.5, 1e-7, False, -121.5, -51.0),
        Measurement("silence", "drums", math.inf, math.inf, 0.0, True),
    ),
    min_snr_db=100.0,
    operator_seconds={"FusedConv": 0.0125},
    memory=(
        MemorySample("load", 0.0, 300_000_000),
        MemorySample("load", 0.5, 400_000_000),
        MemorySample("trace", 0.5, 450_000_000),
        MemorySample("trace", 2.5, 800_000_000),
    ),
)


class Reader(HTMLParser):
    """The text of a page, and the width of every bar by the text before it; tags must be closed in turn."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.widths: list[tuple[str, float]] = []
        self.tags: set[str] = set()
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = dict(attributes)
        assert not {"src", "href", "onload", "onclick"} & set(given)
        if tag == "i" and (style := given.get("style")):
            self.widths.append((self.text[-1], float(style.removeprefix("width:").removesuffix("%"))))
        if tag not in EMPTY:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self._open[-1] not in ("style", "title"):
            self.text.append(data.strip())

    def after(self, *texts: str) -> list[str]:
        """What follows a run of texts."""
        starts = [
            index for index in range(len(self.text)) if tuple(self.text[index : index + len(texts)]) == texts
        ]
        [start] = starts
        return self.text[start + len(texts) :]


@pytest.fixture
def page() -> Reader:
    return Reader(report_page(REPORT))


def bars(page: Reader) -> Mapping[str, list[float]]:
    found: dict[str, list[float]] = {}
    for name, width in page.widths:
        found.setdefault(name, []).append(width)
    return found


def test_nothing_is_loaded_from_elsewhere() -> None:
    text = report_page(REPORT)
    assert re.findall(r"https?:|//|url\(|@import|<script|<link|<img|<iframe", text) == []
    assert "default-src 'none'" in text


def test_light_dark_phone_and_paper() -> None:
    text = report_page(REPORT)
    for query in ("prefers-color-scheme: dark", "max-width: 34rem", "@media print", "width=device-width"):
        assert query in text


def test_the_figures_at_the_top(page: Reader) -> None:
    assert page.after("least parity")[:2] == ["120.0 dB", "gate 100 dB"]
    assert page.after("file")[:2] == ["5.1 MB", "5.0 MB float32"]
    assert page.after("nodes", "1,100")[0] == "2 operators"
    assert page.after("arithmetic")[0] == "2.5 GFLOP"
    assert page.after("compiled in")[:2] == ["2.5 s", "at most 800.0 MB"]
    assert page.after("stems")[0] == "drums, vocals"
    assert not {"overlap", "track", "keep"} & set(page.text)


def test_a_bar_for_the_graph_and_one_for_pytorch(page: Reader) -> None:
    end = 122.5 * 1.05
    assert page.after("song", "drums")[:2] == ["120.0 dB", "60.0 dB"]
    assert bars(page)["drums"] == [round(100 * figure / end, 1) for figure in (120, 60)]


def test_an_absent_stem_shows_its_error_to_the_mix(page: Reader) -> None:
    assert page.after("vocals")[:2] == ["E 121.5 dB", "122.5 dB"]
    assert any(text.startswith("E: the stem is absent") for text in page.text)


def test_silence_has_no_bars(page: Reader) -> None:
    assert page.after("silence", "drums")[0] == "silent; exact"
    off = replace(REPORT.fidelity[2], max_abs_error=2e-9)
    there = Reader(report_page(replace(REPORT, fidelity=(off,))))
    assert there.after("silence", "drums")[0] == "silent; off by 2.0e-09 at most"


@pytest.mark.parametrize(
    ("snr_db", "words", "width"),
    [(math.inf, "exact", 100.0), (math.nan, "not a number", 0.0), (-math.inf, "-inf dB", 0.0)],
)
def test_figures_that_are_no_length(snr_db: float, words: str, width: float) -> None:
    odd = replace(REPORT.fidelity[0], snr_db=snr_db)
    page = Reader(report_page(replace(REPORT, fidelity=(odd, *REPORT.fidelity[1:]))))
    assert page.after("song", "drums")[0] == words
    assert bars(page)["drums"][0] == width
    if not snr_db > 0:
        assert page.after("least parity")[0] == words


def test_rules_that_fired_with_the_graph_before_and_after(page: Reader) -> None:
    fired = ["rewrite", "1", "1,096 → 1,100", "+4", "5.0 MB", "\N{MINUS SIGN}2.0 kB", "250 ms"]
    assert page.after("glu-as-two-convolutions")[: len(fired)] == fired
    assert page.after("stft-as-matmul")[:4] == ["decompose", "3", "+26", "1.5 s"]
    assert page.after("2 refusals, and why")[3:6] == ["mean-in-stages", "2", "short <enough>"]


def test_operators_by_number_bytes_and_time(page: Reader) -> None:
    assert page.after("By number")[:4] == ["Conv", "300", "Mul", "100"]
    assert page.after("By bytes of weights and constants")[:4] == ["Conv", "4.0 MB", "MatMul", "1.0 MB"]
    assert page.after("By time in ONNX Runtime")[:2] == ["FusedConv", "12.5 ms"]
    assert bars(page)["Mul"] == [33.3]


def test_small_figures_have_small_units() -> None:
    page = Reader(report_page(replace(REPORT, flop=115_000, bytes=360, operator_seconds={"Conv": 4.43e-5})))
    assert page.after("arithmetic")[0] == "0.115 MFLOP"
    assert page.after("file")[0] == "360 B"
    assert page.after("By time in ONNX Runtime")[:2] == ["Conv", "44.3 µs"]


def test_many_operators_are_one_bar_at_the_end() -> None:
    many = {f"Op{index}": 100 - index for index in range(20)}
    page = Reader(report_page(replace(REPORT, operators=many)))
    assert page.after("Op13", "87")[:2] == ["6 others", str(sum(100 - index for index in range(14, 20)))]


def test_time_and_memory_of_every_step(page: Reader) -> None:
    assert page.after("Time and peak of memory of each step")[:4] == [
        "load", "500 ms, 400.0 MB", "trace", "2.0 s, 800.0 MB",
    ]  # fmt: skip
    assert "svg" in page.tags
    assert 'points="0.0,100 0.0,65.3 200.0,53.7 200.0,47.9 1000.0,7.4 1000,100"' in report_page(REPORT)


def test_what_is_not_known_is_left_out() -> None:
    bare = replace(REPORT, fidelity=(), min_snr_db=None, operator_seconds={}, memory=(), events=())
    page = Reader(report_page(bare))
    assert page.after("parity")[0] == "not verified"
    assert page.after("Time of each step")[:2] == ["load", "500 ms"]
    assert "svg" not in page.tags
    assert not any("ONNX Runtime" in text or "refusals" in text for text in page.text)


def test_text_is_escaped() -> None:
    wild = "<script>&\"'"
    cost = replace(REPORT.costs[0], rule=wild)
    event = replace(REPORT.events[1], rule=wild, reason=wild)
    item = replace(REPORT.fidelity[0], signal=wild, output=wild)
    report = replace(
        REPORT, model=wild, provenance=wild, warnings=(wild,), costs=(cost,), events=(event,),
        fidelity=(item,), operators={wild: 1}, stored={wild: 1}, seconds={wild: 1.0},
        options={wild: wild}, memory=(MemorySample(wild, 0.0, 1), MemorySample("x", 1.0, 1)),
    )  # fmt: skip
    page = Reader(report_page(report))
    assert "script" not in page.tags
    assert page.after("Warnings")[0] == wild
    assert page.text[0] == wild


def test_the_page_of_a_compile(compiled: object) -> None:
    report = compiled.report  # type: ignore[attr-defined]
    page = Reader(report_page(report))
    for cost in report.costs:
        assert (cost.rule in page.text) or not (cost.fires or cost.refusals)
    assert {item.output for item in report.fidelity} <= set(page.text)

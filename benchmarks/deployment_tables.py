"""The tables of docs/deployment/, from benchmarks/results."""

from typing import Any

from markdown_tables import RESULTS, load, table, versions

from onnx_demucs_compiler.contracts.engine import RIGHT
from onnx_demucs_compiler.contracts.engine import table as engine_table
from onnx_demucs_compiler.engines import ENGINES


def separate() -> str:
    """Lengths of segments, and songs by two commands."""
    return "\n\n".join([*_segments(), *_songs()])


def _segments() -> list[str]:
    found = load("segments")
    stems = list(next(iter(found["lengths"].values()))["sdr_db"])
    return [
        table(
            ["s of a segment", "s for a second", "peak memory, MB", *(f"{stem}, dB" for stem in stems),
             "most that changes, dB to the mix"],
            [[length, row["seconds_per_second"], row["peak_mb"], *(row["sdr_db"][stem] for stem in stems),
              max(row["error_to_mix_db"].values())] for length, row in found["lengths"].items()],
        ),
        f"Released htdemucs, target {found['target']}, {found['machine']}, {found['threads']} threads, "
        f"{versions(found)}, {found['date']} (`benchmarks/segments.py`, the lengths in turn). The columns by "
        f"stem are the SDR against the true stems of {found['stems']}, 6 s, a file in the PyPI package "
        "stempeg. The last is of the stem that changes most from what the model's own segment of "
        f"{found['own_seconds']:.2f} s gives, in {found['song_seconds']:.0f} s of another song: where "
        "segments begin matters too, as the length next to its own shows. Weights: "
        "`benchmarks/trained_weights.py`.",
    ]  # fmt: skip


def _songs() -> list[str]:
    found = load("songs")
    ours, theirs = (min(found["seconds"][name]) for name in ("onnx-demucs", "demucs"))
    return [
        "## Against demucs' own command",
        f"{found['songs']} songs of {found['song_seconds']:.0f} s, the same weights and float32 stems, both "
        f"from the start of Python to the last stem: {ours:.0f} s with `separate` and a graph of `--target "
        f"ort`, {theirs:.0f} s with `demucs --shifts 0`, so {found['times_as_fast']:.2f} times as fast, "
        f"{found['worst_stem_db']:.0f} dB SNR between the worst stems ({found['machine']}, "
        f"{found['threads']} threads, {found['date']}; `benchmarks/songs.py`). The session ran for "
        f"{100 * found['session_part']:.1f} % of the time after it was open. The ratio is that of the "
        "processor's matrix products in the two libraries: [performance](performance.md) has others.",
    ]  # fmt: skip


def precision() -> str:
    """Cost and gain of each precision and of each way to quantise."""
    return "\n\n".join([*_precisions(), *_kinds(), *_qualities()])


def _precisions() -> list[str]:
    if not (RESULTS / "precision.json").exists():
        return ["Sizes, SNR and seconds of each precision are printed by `python benchmarks/precision.py`."]
    found = load("precision")
    graphs, bag = found["graphs"], found["bag"]
    same = graphs["released, fp16-weights"]["same_bits_as_fp32"]
    return [
        f"`{found['model']}`, target {found['target']}, {found['machine']}, {found['threads']} threads, "
        f"{versions(found)}, {found['date']} (`benchmarks/precision.py`):",
        table(
            ["", "MB", "lossless", "rounded", "int8", "float32", "worst stem on noise, dB", "on a song",
             *RUN],
            [[name, f"{row['bytes'] / 1e6:.2f}",
              *(f"{_stored(row['stored'], how) / 1e6:.2f}" for how in STORED),
              *(min(row["snr_db"][signal].values()) for signal in ("noise", "song")),
              *_run(row)] for name, row in graphs.items()],
        ),
        f"The output of *released, fp16-weights* {'equals' if same else 'does **not** equal'} that of "
        f"*released, fp32* to the last bit. `{bag['model']}` from weights in half precision is "
        f"{bag['bytes'] / 1e6:.1f} MB.",
    ]  # fmt: skip


def _kinds() -> list[str]:
    found = load("int8_kinds")
    return [
        f"Ways to store all large weights of `{found['model']}` in eight bits, or to compute with them, "
        f"target {found['target']}, {found['machine']}, {found['threads']} threads, {found['date']} "
        "(`benchmarks/int8_kinds.py`):",
        table(
            ["", "MB", "worst stem against float32, dB", *RUN],
            [[name, f"{row['bytes'] / 1e6:.1f}", row.get("snr_db", ""), *_run(row)]
             for name, row in found["kinds"].items()],
        ),
    ]  # fmt: skip


def _qualities() -> list[str]:
    if not (RESULTS / "quality.json").exists():
        return ["What each promise buys and costs on music is printed by `python benchmarks/quality.py`."]
    found = load("quality")
    graphs, exact = found["graphs"], found["graphs"]["exact"]["seconds"]
    return [
        f"Promises, {found['weights']}, target {found['target']}, {found['machine']}, "
        f"{found['threads']} threads, {versions(found)}, {found['date']} (`benchmarks/quality.py`); graphs "
        f"were chosen on noise, the synthetic song{''.join(f' and {name}' for name in found['tuned_on'])}:",
        table(
            ["", "speed", "MB", *RUN],
            [[name, f"{exact / row['seconds']:.2f}", f"{row['bytes'] / 1e6:.1f}", *_run(row)]
             for name, row in graphs.items()],
        ),
        *(_on_music(name, song) for name, song in found["songs"].items()),
    ]  # fmt: skip


FIGURES = {"SNR": "snr_db", "error to the mix": "error_to_mix_db", "SDR changes by": "sdr_change_db"}


def _on_music(name: str, song: dict[str, Any]) -> str:
    """SNR, error and change of SDR by stem, on one song."""
    stems = list(song["level_db"])
    rows = [["level to the mix", *(song["level_db"][stem] for stem in stems)]]
    for what, key in FIGURES.items():
        rows += [
            [f"{quality}: {what}", *(row[stem] for stem in stems)]
            for quality, row in song.get(key, {}).items()
            if quality != "exact"
        ]
    if "sdr_db" in song:
        rows.append(["exact: SDR", *(song["sdr_db"][stem] for stem in stems)])
    return f"On {name}, against `exact`, in dB:\n\n" + table(["", *stems], rows)


STORED = ("float16, lossless", "float16, rounded", "int8", "float32")


def _stored(by_kind: dict[str, int], how: str) -> int:
    """Bytes stored so, computed with or not."""
    return sum(size for kind, size in by_kind.items() if kind in (how, f"{how}, computed with"))


RUN = ("s per segment", "CPU s", "s to load", "peak memory, MB")


def _run(row: dict[str, Any]) -> list[Any]:
    return [row["seconds"], row["cpu_seconds"], row["load_seconds"], row["peak_rss_mb"]]


def clients() -> str:
    """Resources of the clients of examples/, and their agreement with ``separate``."""
    found = load("clients")
    agreement = {
        name: "the same to the bit" if snr is None else f"{snr} dB"
        for name, snr in found["agreement_db"].items()
    }
    rows = [
        [name, agreement.get(name, ""), row["seconds"], row["least_seconds"], row["peak_rss_mb"]]
        for name, row in found["clients"].items()
    ]
    left_out = [f"{name}: left out, {reason}." for name, reason in found["left_out"].items()]
    return "\n\n".join(
        [
            f"{found['model']} and a song of {found['seconds_of_audio']:.0f} s, {found['machine']}, "
            f"{found['threads']} threads, onnxruntime {found['onnxruntime']} (node: "
            f"{found['node_onnxruntime']}), medians of {found['runs']} runs in turn, "
            f"{found['date']}, `benchmarks/clients.py`:",
            table(["", "worst stem against `separate`", "s", "least s", "peak memory, MB"], rows),
            *left_out,
        ]
    )


SONG, SEGMENTS = 240, 42
"""Seconds of a song to do arithmetic for, and segments of htdemucs: 7.8 s each, with an overlap of 0.25."""

MACHINES, CORES = 100, 8

WAV_MB = 44100 * 2 * 2 / 1e6
"""Of a second of stereo in 16 bits."""


def catalogue() -> str:
    """Speed of catalogues on Ray, and arithmetic for a large cluster."""
    small, real = load("catalogue"), load("catalogue_htdemucs")
    rows = [
        [
            found["model"],
            f"{found['songs']} of {found['seconds']:g} to {2 * found['seconds']:g} s",
            row["workers"],
            round(row["song_seconds"], 3),
            f"{found['alone_seconds'] / row['song_seconds']:.2f}",
            f"{row['busy']:.0%}",
            round(row["start_seconds"]),
        ]
        for found in (small, real)
        for row in found["rows"]
    ]
    header = ["model", "songs", "workers", "s a song", "times `separate`", "time at work", "start, s"]
    return "\n\n".join(
        [
            f"{real['machine']}, {real['threads']} cores, one thread a worker and in `separate` without Ray, "
            f"Ray {real['ray']}, onnxruntime {real['onnxruntime']}, {real['date']}, "
            f"`benchmarks/catalogue.py --songs {small['songs']} --seconds {small['seconds']:g}` and "
            f"`benchmarks/catalogue.py htdemucs.onnx --songs {real['songs']} --seconds {real['seconds']:g}`, "
            "which compare every file with those without Ray:",
            table(header, rows),
            _large_cluster(small, real),
        ]
    )


def _large_cluster(small: dict[str, Any], real: dict[str, Any]) -> str:
    """Arithmetic, and no measurement."""
    most = 1 / min(row["song_seconds"] for row in small["rows"])
    widest = real["rows"][-1]
    song = widest["song_seconds"] * widest["workers"] * SEGMENTS
    a_second = MACHINES * CORES / song
    traffic = a_second * SONG * WAV_MB * 5
    return (
        "Each song of htdemucs here is one segment. "
        f"So for {MACHINES} machines of {CORES} such cores, by arithmetic and not measured: a song of "
        f"{SONG / 60:g} minutes, {SEGMENTS} segments, takes a core {song:.0f} s, and the cluster separates "
        f"{3600 * a_second:,.0f} an hour, {a_second:.1f} a second, where the command alone hands out and "
        f"takes back {most:.0f} a second with the small model, for which Ray does not pay. "
        f"Songs and stems come to {traffic:.0f} MB a second as wav of 16 bits. "
        f"At the end workers wait for the last song, {song:.0f} s at most and less where that is a short "
        "one: this is why the largest go first, and why songs are not cut for several workers."
    )


def plugins() -> str:
    """Memory of a model that is part of its program."""
    found = load("embedded")
    rows = [
        [f"from {way}" if way == "a file" else way, row["peak_rss_mb"], row["private_mb"], row["of_files_mb"]]
        for way, row in found["ways"].items()
    ]
    return "\n\n".join(
        [
            f"The C++ client, {found['model']} in ORT format ({found['bytes'] / 1e6:.0f} MB) and a song of "
            f"{found['seconds_of_audio']:.0f} s, {found['machine']}, {found['threads']} threads, onnxruntime "
            f"{found['onnxruntime']}, {found['date']}, `benchmarks/embedded.py`:",
            table(["model", "peak memory, MB", "of the process alone, MB", "of files, MB"], rows),
        ]
    )


def trust() -> str:
    """Agreement of two environments' bytes."""
    found = load("reproducible")
    same = "the same" if found["same_packages"] else "not the same"
    head = (
        f"{found['checkpoint']}, {versions(found)}, {found['date']}; "
        f"{found['packages']} packages in each environment, {same} versions:"
    )
    rows = [[what, file["bytes"], "yes" if file["same"] else "no"] for what, file in found["files"].items()]
    return f"{head}\n\n{table(['what is written', 'bytes', 'the same in both'], rows)}"


LEFT = ("none", "complete", "partial")


def robustness() -> str:
    """Inputs and interruptions tried, and their outcomes."""
    fuzz, interruptions = load("fuzz"), load("interruptions")
    return "\n\n".join(
        [
            f"{fuzz['seconds']:.0f} s of it (seed {fuzz['seed']}, {fuzz['date']}):",
            table(
                ["", "inputs", "exit code 0", "1", "2", "failures"],
                [[kind, row["inputs"], *(row["exit_codes"].get(code, 0) for code in "012"),
                  sum(row["problems"].values())] for kind, row in fuzz["kinds"].items()],
            ),
            f"Compiles interrupted ({interruptions['date']}, `benchmarks/interruptions.py`):",
            table(
                ["", "moments", "nothing left", "complete file", "part of a file", "other files left",
                 "not as promised", "before the program's first line"],
                [[kind, row["moments"], *(row["output"].get(left, 0) for left in LEFT), row["files_left"],
                  row["not_as_promised"], row["before_the_program"]]
                 for kind, row in interruptions["signals"].items()],
            ),
        ]
    )  # fmt: skip


def ort_format() -> str:
    """ONNX Runtime's optimisation levels on a model in ORT format."""
    found = load("ort_format")
    rows = [
        [f"{model}, {'`.onnx`' if level == 'onnx' else level}", f"{row['bytes'] / 1e6:.1f}", row["nodes"],
         row.get("operators", ""), row.get("of_com_microsoft", ""), row["load_seconds"], row["load_mb"],
         row["cpu_seconds"], row["peak_mb"], row.get("snr_db_to_onnx", "")]
        for model, levels in found["models"].items() for level, row in levels.items()
    ]  # fmt: skip
    return "\n\n".join(
        [
            f"htdemucs on {found['machine']}, {found['threads']} threads, {versions(found)}, "
            f"{found['date']} (`benchmarks/ort_format.py`):",
            table(
                ["target and level", "MB", "nodes", "operators in the config", "of `com.microsoft`",
                 "s to load", "MB to load", "CPU s per segment", "peak memory, MB",
                 "SNR to `.onnx`, dB"],
                rows,
            ),
        ]
    )  # fmt: skip


def engines() -> str:
    """Every engine on the same files, and the forms it gets wrong."""
    found = load("engines")
    tables = [
        f"One thread each, in turn with ONNX Runtime {found['onnxruntime']}, on {found['machine']}, "
        f"{found['date']} (`benchmarks/engines/compare.py`){_busy(found)}. SNR is that of the worst stem "
        "against ONNX Runtime, on noise and a synthetic song."
    ]
    for model, rows in found["models"].items():
        size = max(row.get("bytes", 0) for row in rows.values()) / 1e6
        tables += [
            f"`{model}`, {size:.1f} MB:",
            table(
                ["engine", "SNR, dB", "CPU s", "of ONNX Runtime's", "peak memory, MB",
                 "of ONNX Runtime's", "converted, MB"],
                [[f"{name} {row['version']}", *_engine(row)] for name, row in rows.items()],
            ),
        ]  # fmt: skip
    for name in ENGINES:
        version, verdicts = engine_table(name)
        wrong = [f"- `{form}`: {verdict}" for form, verdict in verdicts.items() if verdict != RIGHT]
        head = (
            f"{name} {version}: {len(verdicts) - len(wrong)} of {len(verdicts)} forms right "
            f"(`benchmarks/engines/probe.py {name}`)"
        )
        tables.append("\n".join([head, "", *wrong]))
    return "\n\n".join([*tables, *_tools()])


def formats() -> str:
    """Formats beside ONNX, in turn with ONNX Runtime, on two processors."""
    explained = (
        "Runs in turn: medians, and how the least seconds compare; SNR is that of the worst stem on noise "
        "against float64."
    )
    return "\n\n".join(
        [*_formats("formats", explained), *_formats("formats_other_processor"), *_operators_in_executorch()]
    )


def openvino() -> str:
    """Files in OpenVINO, in turn with ONNX Runtime."""
    explained = (
        "A segment's time is the median of its ratio to ONNX Runtime's in the same round; SNR is that of the "
        "worst stem against ONNX Runtime's on noise."
    )
    return "\n\n".join([explained, *_in_openvino("openvino"), *_in_openvino("openvino_trained")])


def _in_openvino(name: str) -> list[str]:
    found = load(name)
    return [
        f"Weights: {found['weights']}. {found['machine']}, {found['threads']} threads, openvino "
        f"{found['openvino']}, onnxruntime {found['onnxruntime']}, {found['date']}, {found['rounds']} rounds "
        "(`benchmarks/openvino_runtime.py`):",
        table(
            ["file, runtime", "time of ONNX Runtime's", "CPU s of a segment", "peak memory, MB",
             "s to open", "again, from the cache", "worst stem, dB"],
            [[entrant, f"{row['of_onnxruntime']:.2f}", row["cpu_seconds"], row["peak_mb"],
              row["seconds_to_open"], row.get("seconds_to_open_again", ""), row.get("worst_stem_db", "")]
             for entrant, row in found["rows"].items()],
        ),
    ]  # fmt: skip


def _operators_in_executorch() -> list[str]:
    """Milliseconds of each operator that takes a hundredth of the time."""
    found = load("executorch_operators")
    spent = dict(found["milliseconds"])
    whole = spent.pop("all")
    shown = {name: milliseconds for name, milliseconds in spent.items() if milliseconds >= whole / 100}
    rows = [*shown.items(), ("others, and between them", whole - sum(shown.values())), ("all", whole)]
    return [
        f"Time by operator of the `.pte`, {found['machine']}, {found['threads']} threads, {found['date']} "
        "(`benchmarks/formats/executorch_operators.py`). Those named `.out` are ExecuTorch's, on one thread:",
        table(["operator", "ms"], [[name, f"{milliseconds:.0f}"] for name, milliseconds in rows]),
    ]


def _formats(name: str, explained: str = "") -> list[str]:
    found = load(name)
    base = found["formats"]["onnx"]
    rows = [
        [FORMATS[name], f"{row['bytes'] / 1e6:.1f}", row["snr_db"], row["seconds"],
         *(f"{row[which] / base[which]:.2f}" for which in ("seconds", "least_seconds")),
         row["compile_seconds"]]
        for name, row in found["formats"].items()
    ]  # fmt: skip
    return [
        f"`{found['model']}`, {found['machine']}, {found['threads']} threads, {versions(found)}, "
        f"{found['date']} (`benchmarks/formats/compare.py`). {explained}".rstrip(),
        table(
            ["", "MB", "SNR, dB", "s per segment", "of ONNX Runtime's", "least to least", "s to compile"],
            rows,
        ),
    ]


FORMATS = {
    "onnx": "`.onnx` in ONNX Runtime",
    "pt2": "`.pt2` in PyTorch",
    "aoti": "`.pt2` by AOTInductor",
    "tflite": "`.tflite` in LiteRT",
    "pte": "`.pte` in ExecuTorch",
}


def _tools() -> list[str]:
    found = load("tools")
    rows = [
        [f"`{tool}` {row['version']}", what, *_rewritten(row[what])]
        for tool, row in found["tools"].items()
        for what in ("as compiled", "--fold-weights")
    ]
    return [
        "Tools that rewrite a file, given `small`. What comes out runs in ONNX Runtime "
        f"{found['onnxruntime']} against what went in, {found['date']} (`benchmarks/engines/tools.py`):",
        table(["tool", "file", "takes it", "SNR after, dB", "of its bytes", "`verify`"], rows),
    ]


def _rewritten(row: dict[str, Any]) -> list[Any]:
    if "bytes" not in row:
        return [f"no: {row['error']}", *[""] * 3]
    change = f"changed: {row['verify']}" if row["changed"] else row["verify"] or "unchanged"
    return ["yes", row.get("snr_db", row.get("error")), f"{row['bytes'] / row['source_bytes']:.2f}", change]


def _engine(row: dict[str, Any]) -> list[Any]:
    if "error" in row:
        return ["its process ends" if " ended with " in row["error"] else "refused", *[""] * 5]
    return [
        row["snr_db"] if row["snr_db"] >= row["min_snr_db"] else f"{row['snr_db']}, wrong",
        row["cpu_seconds"],
        f"{row['cpu_seconds'] / row['onnxruntime_cpu_seconds']:.2f}",
        row["peak_mb"],
        f"{row['peak_mb'] / row['onnxruntime_peak_mb']:.2f}",
        f"{row['converted_bytes'] / 1e6:.1f}" if row["converted_bytes"] else "",
    ]


def minimal_runtime() -> str:
    """Sizes of builds of ONNX Runtime, and htdemucs in one."""
    found = load("minimal_runtime")
    wheel = {"bytes": found["wheel_bytes"], "kernels": "", "options": "the wheel's library"}
    builds = {"wheel": wheel} | found["builds"]
    tables = [
        f"{found['source']} built with {found['compiler']} on {found['system']}, {found['date']}; the wheel "
        f"is onnxruntime {found['onnxruntime']}. Kernels are those that the library registers.",
        table(
            ["build", "bytes", "kernels", "of the wheel"],
            [[name, f"{row['bytes']:,}", row["kernels"], f"{row['bytes'] / found['wheel_bytes']:.1%}"]
             for name, row in builds.items()],
        ),
        "\n".join(f"- `{name}`: `{row['options']}`" for name, row in found["builds"].items()),
        f"One segment of `{found['model']}`, optimised to the level `{found['optimisation_level']}`, in each "
        f"library in turn, on {found['machine']}, {found['threads']} threads{_busy(found)}:",
        table(
            ["library", "s to open", "MB to open", "s per segment", "least", "least CPU s",
             "times the wheel's speed", "peak memory, MB", "SNR to the wheel's output, dB"],
            [[name, row["load_seconds"], row["load_peak_mb"], row["seconds"], row["least_seconds"],
              row["least_cpu_seconds"], row["speed_vs_wheel"], row["peak_mb"], row["snr_db_to_wheel"] or ""]
             for name, row in found["runs"].items()],
        ),
    ]  # fmt: skip
    if "snr_db_to_wheel" in found:
        tables += [
            "Every model in the library `every-model`, one run each:",
            table(
                ["model", "SNR to the wheel's output, dB"],
                [[f"`{name}`", snr] for name, snr in found["snr_db_to_wheel"].items()],
            ),
        ]
    refused = found["refusal"]
    tables.append(
        f"Built without {refused['taken_out']}, the library refuses the model (exit status "
        f"{refused['status']}):\n\n```text\n{refused['message']}\n```"
    )
    return "\n\n".join(tables)


def _busy(found: dict[str, Any]) -> str:
    """That other work ran beside a measurement, where it did."""
    load = found.get("load_average", 0.0)
    busy = load > found["threads"] + 1
    return f"; the machine was busy (a load of {load:.0f}), which makes times uncertain" if busy else ""


def browser() -> str:
    """Graphs in a browser's WebAssembly, and the time of their operators."""
    return "\n\n".join([*_graphs_in_wasm("browser"), *_graphs_in_wasm("browser_core"), *_operators_in_wasm()])


def _graphs_in_wasm(name: str) -> list[str]:
    """Seconds by threads, heap and SNR."""
    found = load(name)
    by_threads = found["by_threads"]
    told = " and ".join(f"{run['native_seconds']:.2f} s on {threads}" for threads, run in by_threads.items())
    head = ["graph"]
    for threads in by_threads:
        head += [f"s per segment, {threads} thread{'s' * (threads != '1')}", "of ONNX Runtime's"]
    rows = []
    for name, size in found["bytes"].items():
        runs = [(run["graphs"][name], run["native_seconds"]) for run in by_threads.values()]
        times = [cell for row, native in runs
                 for cell in (f"{row['seconds']:.1f}", f"{row['seconds'] / native:.2f}")]  # fmt: skip
        heap = max(row["heap_mb"] for row, _ in runs)
        rows.append([name, *times, heap, min(row["snr_db"] for row, _ in runs), f"{size / 1e6:.1f}"])
    return [
        f"`{found['model']}` in Chromium {found['chromium']}, onnxruntime-web {found['onnxruntime_web']}, "
        f"{found['machine']}, {found['threads']} cores, {found['date']} (`make bench-web`: "
        "`benchmarks/browser/compare.py`). Runs in turn: medians, the heap after "
        f"{found['segments']} segments, and SNR of the worst stem against {found['snr_against']}. "
        f"ONNX Runtime {found['onnxruntime']} takes {told} for the first graph.",
        table([*head, "heap, MB", "SNR, dB", "MB to fetch"], rows),
    ]


def _operators_in_wasm() -> list[str]:
    """Milliseconds of each operator that takes a hundredth of either's time."""
    if not (RESULTS / "browser_operators.json").exists():
        return []
    found = load("browser_operators")
    wasm, native = (found["milliseconds"][where] for where in ("wasm", "native"))
    sums = sum(wasm.values()), sum(native.values())
    shown = [name for name in {**wasm, **native}
             if max(wasm.get(name, 0) / sums[0], native.get(name, 0) / sums[1]) >= 0.01]  # fmt: skip
    rows = [(name, wasm.get(name, 0), native.get(name, 0)) for name in shown]
    others = [total - sum(row[column] for row in rows) for column, total in enumerate(sums, 1)]
    return [
        f"Time by operator of `{found['model']}`, one thread each, on {found['machine']}, {found['date']} "
        "(`benchmarks/browser/operators.py`):",
        table(
            ["operator", "WebAssembly, ms", "ONNX Runtime, ms", "times"],
            [[name, f"{slow:.0f}", f"{fast:.0f}", f"{slow / fast:.1f}" if slow and fast else ""]
             for name, slow, fast in [*rows, ("others", *others), ("all", *sums)]],
        ),
    ]  # fmt: skip

r"""The kernels of released runtimes, for onnx_demucs_compiler/contracts/kernels.json.

PYTHONPATH=<a folder with one onnxruntime> python benchmarks/runtime_kernels.py record official OUT.json
python benchmarks/runtime_kernels.py record webgpu OUT.json --release 0.4.0 --plugin \
    libonnxruntime_providers_webgpu.so
python benchmarks/runtime_kernels.py record jsep OUT.json --table webgpu-operators.md --release 1.30.0
python benchmarks/runtime_kernels.py join *.json --json onnx_demucs_compiler/contracts/kernels.json

``official`` asks the CPU package that is importable; numpy below 2 has to stand beside releases before 1.19.
``webgpu`` asks the plugin of the package onnxruntime-ep-webgpu, which needs a GPU or a Vulkan driver in
software. ``jsep`` reads the table of operators in the npm package onnxruntime-web (docs/webgpu-operators.md).
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from packaging.version import Version

DOMAINS = ("ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc")
OPEN = 2**31 - 1
FLOAT, INT64 = 1, 7


def main() -> None:
    """Record one release, or join records into a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    record = commands.add_parser("record")
    record.add_argument("runtime", choices=["official", "webgpu", "jsep"])
    record.add_argument("out", type=Path)
    record.add_argument("--plugin", type=Path)
    record.add_argument("--table", type=Path)
    record.add_argument("--release")
    join = commands.add_parser("join")
    join.add_argument("records", type=Path, nargs="+")
    join.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.command == "join":
        tables = joined([json.loads(path.read_text()) for path in arguments.records])
        arguments.json.write_text(compact(tables))
        return
    if arguments.runtime == "jsep":
        found = from_table(arguments.table.read_text(), arguments.release)
    else:
        found = from_package(arguments.plugin, arguments.release)
    arguments.out.write_text(json.dumps({"runtime": arguments.runtime} | found))


def from_package(plugin: Path | None, release: str | None) -> dict[str, Any]:
    """The kernels of onnxruntime's CPU provider, or of a WebGPU plugin."""
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    found: dict[str, Any] = {"release": release or onnxruntime.__version__}
    if plugin is None:
        kernels = state.get_all_opkernel_def()
        found["opset"] = max(version for version in range(7, 40) if loads(7, version))
        found["ir"] = max(version for version in range(3, 30) if loads(version, 13))
    else:
        onnxruntime.register_execution_provider_library("webgpu", str(plugin.resolve()))
        kernels = state.get_registered_ep_kernel_defs("WebGpuExecutionProvider")
    found["kernels"] = [[kernel.domain or "ai.onnx", kernel.op_name, *kernel.version_range]
                        for kernel in kernels]  # fmt: skip
    return found


def loads(ir: int, opset: int) -> bool:
    """True if a session opens a model of one Identity."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(identity(ir, opset), options, providers=["CPUExecutionProvider"])
    except Exception:  # noqa: BLE001 - onnxruntime's errors share no narrower base
        return False
    return True


def identity(ir: int, opset: int) -> bytes:
    """A model encoded by hand.

    No release of onnx goes with every release of onnxruntime.
    """
    tensor = _field(1, FLOAT) + _field(2, _field(1, _field(1, 1)))
    ports = [_field(1, name) + _field(2, _field(1, tensor)) for name in ("a", "b")]
    node = _field(1, "a") + _field(2, "b") + _field(4, "Identity")
    graph = _field(1, node) + _field(2, "g") + _field(11, ports[0]) + _field(12, ports[1])
    return _field(1, ir) + _field(7, graph) + _field(8, _field(2, opset))


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + _varint(rest) if rest else bytes([low])


def from_table(text: str, release: str) -> dict[str, Any]:
    """The kernels that a table of onnxruntime-web names, such as ``| Abs | ai.onnx(6-12,13+) |  |``."""
    kernels: list[list[Any]] = []
    for op, cell in re.findall(r"^\| (\w+) \| ([^|]+) \|", text, re.MULTILINE):
        for domain, versions in re.findall(r"([\w.]+)\(([^)]+)\)", cell):
            for span in versions.split(","):
                first, _, last = span.rstrip("+").partition("-")
                kernels.append([domain, op, int(first), OPEN if "+" in span else int(last or first)])
    return {"release": release, "kernels": kernels}


def joined(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Releases by runtime, and the first with each operator version's kernel."""
    known = versions_of_operators(records)
    tables: dict[str, Any] = {}
    for record in sorted(records, key=lambda record: Version(record["release"])):
        table = tables.setdefault(record["runtime"], {"releases": {}, "since": {}})
        limits = {key: record[key] for key in ("opset", "ir") if key in record}
        table["releases"][record["release"]] = limits
        for domain, op, first, last in record["kernels"]:
            if domain not in DOMAINS:
                continue
            since = table["since"].setdefault(domain, {}).setdefault(op, {})
            for version in known.get((domain, op), ()):
                # As onnxruntime decides: a kernel without an end is for the version it begins with.
                if version == first or (first < version <= last != OPEN):
                    since.setdefault(str(version), record["release"])
    return tables


def versions_of_operators(records: list[dict[str, Any]]) -> dict[tuple[str, str], list[int]]:
    """Every version of each operator: by schemas for ``ai.onnx``, else by kernels."""
    import onnx

    known: dict[tuple[str, str], set[int]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        known.setdefault((schema.domain or "ai.onnx", schema.name), set()).add(schema.since_version)
    for record in records:
        for domain, op, first, _ in record["kernels"]:
            known.setdefault((domain, op), set()).add(first)
    return {key: sorted(versions) for key, versions in known.items()}


def compact(tables: dict[str, Any]) -> str:
    """JSON with a line for each operator."""
    text = json.dumps(tables, indent=1, sort_keys=True)
    return re.sub(r"\{\s*((?:\"\d+\": \"[\d.]+\",?\s*)+)\}",
                  lambda found: "{" + " ".join(found[1].split()) + "}", text) + "\n"  # fmt: skip


if __name__ == "__main__":
    main()

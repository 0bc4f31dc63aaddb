"""Every kind of artifact at full width, compared with recorded digests.

    python benchmarks/artifact_digests.py [KIND ...] [--against COMMIT | --record] [--json FILE]

Two sha256 for each kind: of the file, and of its graph without all that merely names rules: the names of
nodes, and in the metadata the list of rules and the file's digest. A refactoring leaves both as they are; a
rule that is renamed, or that takes another place among the rules, changes the first alone. With ``--against``
another commit compiles the same in turn; without, what comes out is compared with the file of results, or
with ``--record`` written to it. The exit code is 1 where a graph changed. Each kind is compiled in a fresh
process, without the parity check where nothing depends on it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

import onnx
from other_commit import ROOT, checked_out, compile_by

RESULTS = Path(__file__).parent / "results" / "artifact_digests.json"
UNVERIFIED = ("--no-verify",)
NAMING_KEYS = {"onnx_demucs.rules", "onnx_demucs.digest"}

KINDS: dict[str, tuple[str, ...]] = {
    "portable": ("untrained:htdemucs", *UNVERIFIED),
    "ort": ("untrained:htdemucs", "--target", "ort", *UNVERIFIED),
    "core": ("untrained:htdemucs", "--interface", "core", *UNVERIFIED),
    "spectral": ("untrained:htdemucs", "--interface", "spectral", *UNVERIFIED),
    "openkara": ("untrained:htdemucs", "--interface", "openkara", *UNVERIFIED),
    "track": ("untrained:htdemucs", "--track", *UNVERIFIED),
    "two-stems": ("untrained:htdemucs", "--two-stems", "vocals", *UNVERIFIED),
    "fp16-weights": ("untrained:htdemucs", "--precision", "fp16-weights", *UNVERIFIED),
    "int8": ("untrained:htdemucs", "--precision", "int8"),  # chosen by measuring
    "hdemucs_mmi": ("untrained:hdemucs_mmi", "--length", "352256", *UNVERIFIED),
    "repro_mdx_a_time_only": ("untrained:repro_mdx_a_time_only", "--length", "352256", *UNVERIFIED),
    "htdemucs_ft": ("untrained:htdemucs_ft", "--stems", "vocals", *UNVERIFIED),
}


def main() -> None:
    """Print a line for each kind; write or compare the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", default=list(KINDS))
    parser.add_argument("--record", action="store_true", help="write what comes out over the file")
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--against", metavar="COMMIT")
    arguments = parser.parse_args()
    if unknown := set(arguments.kinds) - set(KINDS):
        parser.error(f"no kind {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    with checked_out(arguments.against) if arguments.against else nullcontext() as other:
        recorded = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
        changed = []
        for kind in arguments.kinds:
            before = digests(other, KINDS[kind]) if other else recorded.get(kind)
            found = digests(ROOT, KINDS[kind])
            verdict = _verdict(before, found)
            print(f"{kind:22} {found['file'][:16]} {found['graph'][:16]} {verdict}", flush=True)
            changed += [kind] if verdict == "CHANGED" else []
            if arguments.record:
                recorded[kind] = found
                arguments.json.write_text(json.dumps(recorded, indent=2) + "\n")
    if changed and not arguments.record:
        sys.exit(f"other graphs than before: {', '.join(changed)}")


def digests(tree: Path, options: tuple[str, ...]) -> dict[str, str]:
    """The sha256 of a tree's artifact, and without names of rules."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        compile_by(tree, path, options)
        data = path.read_bytes()
    return {
        "file": hashlib.sha256(data).hexdigest(),
        "graph": hashlib.sha256(without_rules(data)).hexdigest(),
    }


def without_rules(data: bytes) -> bytes:
    """A model without the names of nodes and of rules, serialised."""
    model = onnx.load_from_string(data)
    _drop_node_names(model.graph)
    kept = [item for item in model.metadata_props if item.key not in NAMING_KEYS]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    return model.SerializeToString(deterministic=True)


def _drop_node_names(graph: onnx.GraphProto) -> None:
    for node in graph.node:
        node.name = ""
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _drop_node_names(attribute.g)
            for inner in attribute.graphs:
                _drop_node_names(inner)


def _verdict(recorded: dict[str, str] | None, found: dict[str, str]) -> str:
    if recorded is None:
        return "new"
    if recorded == found:
        return "same file"
    return "same graph" if recorded["graph"] == found["graph"] else "CHANGED"


if __name__ == "__main__":
    main()

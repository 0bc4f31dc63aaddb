"""One architecture, in a process of its own: ``one.py STEP PACKAGE/NAME GRAPH.onnx``.

It prints its result as JSON. ``compile`` compiles the module with the parity check and writes the graph,
``time`` runs that in turn with PyTorch, ``forward`` only calls the module. It needs the environment of the
package (``install.py``).
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from entries import ENTRIES, PACKAGES
from torch import Tensor, nn

sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmark_memory import peak_mb

from onnx_demucs_compiler import compile as compile_module
from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.loading import make_lively
from onnx_demucs_compiler.runtime.session import create_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from entries import Entry

SEED = 1
UNLIKE = 0.1
"""The deviation that parameters which start out all alike are drawn with."""

MINIMUM_ROUNDS, MAXIMUM_ROUNDS, TIMED_SECONDS = 5, 100, 1.5


def main() -> None:
    """Run a step on an entry."""
    step, key, graph = sys.argv[1:]
    entry = ENTRIES[key]
    torch.set_num_threads(1)
    print(json.dumps(STEPS[step](entry, Path(graph))), flush=True)


def compiled(entry: Entry, graph: Path) -> dict[str, Any]:
    """The figures of a compile, or the line of its refusal."""
    module, example = built(entry), inputs(entry)
    began = perf_counter()
    try:
        model = compile_module(module, example_input=example)
    except CompilerError as error:
        return {"refused": str(error)}
    except Exception as error:  # noqa: BLE001 - the one thing that is looked for
        traceback.print_exc()
        return {"traceback": f"{type(error).__name__}: {error}"}
    model.save(graph)
    heard = [each for each in model.report.fidelity if not each.silent and each.signal != "silence"]
    worst = min(heard, key=lambda each: each.snr_db)
    return {
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "snr_db": round(worst.snr_db, 1),
        "torch_snr_db": round(worst.torch_snr_db, 1),
        "nodes": model.report.nodes,
        "compile_seconds": round(perf_counter() - began, 1),
        "compile_peak_mb": peak_mb(),
        "decided": list(model.report.decided),
    }


def timed(entry: Entry, graph: Path) -> dict[str, Any]:
    """The least seconds of PyTorch and of the graph, in turn."""
    module, example = built(entry), inputs(entry)
    session = create_session(graph, threads=1)
    feeds = {port.name: value.numpy() for port, value in zip(session.get_inputs(), example, strict=True)}

    def eager() -> None:
        with torch.inference_mode():
            module(*example)

    least = in_turn(eager, lambda: session.run(None, feeds))
    return dict(zip(("torch_seconds", "seconds"), least, strict=True))


def in_turn(*runs: Callable[[], object]) -> list[float]:
    """The least seconds of each in rounds after the first."""
    least = [float("inf")] * len(runs)
    for run in runs:
        run()
    began = perf_counter()
    for done in range(MAXIMUM_ROUNDS):
        if done >= MINIMUM_ROUNDS and perf_counter() - began > TIMED_SECONDS:
            break
        for place, run in enumerate(runs):
            start = perf_counter()
            run()
            least[place] = min(least[place], perf_counter() - start)
    return least


def forward(entry: Entry, _: Path) -> dict[str, Any]:
    """The shapes that it makes of its example, in PyTorch alone."""
    with torch.inference_mode():
        outputs = built(entry)(*inputs(entry))
    leaves = torch.utils._pytree.tree_leaves(outputs)
    return {"outputs": [list(leaf.shape) for leaf in leaves if isinstance(leaf, Tensor)]}


def built(entry: Entry) -> nn.Module:
    """The module in eval mode, with seeded weights.

    None of them are silent or all alike.
    """
    for name in PACKAGES[entry.package].bare:
        _import_bare(name)
    source, _, name = entry.make.partition(":")
    torch.manual_seed(SEED)
    module: nn.Module = getattr(importlib.import_module(source), name)(**entry.arguments)
    module.eval()
    make_lively(module, SEED)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.numel() > 1 and bool((parameter == parameter.flatten()[0]).all()):
                parameter.add_(UNLIKE * torch.randn_like(parameter))
    return module


def _import_bare(name: str) -> None:
    """Make a package importable without running its ``__init__``."""
    parent, _, last = name.rpartition(".")
    folders = sys.modules[parent].__path__ if parent else sys.path
    package = ModuleType(name)
    package.__path__ = [str(path) for path in (Path(folder, last) for folder in folders) if path.is_dir()]
    sys.modules[name] = package


def inputs(entry: Entry) -> tuple[Tensor, ...]:
    """Seeded noise in the shapes that it takes."""
    generator = torch.Generator().manual_seed(SEED)
    return tuple(0.1 * torch.randn(shape, generator=generator) for shape in entry.shapes)


STEPS = {"compile": compiled, "time": timed, "forward": forward}

if __name__ == "__main__":
    main()

"""Damaged and odd inputs for every command.

Each gives an error line or a correct result, and nothing else.

python benchmarks/fuzz.py [--seconds 600] [--seed 0] [--kinds checkpoints models audio lengths command-lines]
    [--failures DIR] [--json benchmarks/results/fuzz.json]

Commands run in processes of their own, with a bound on memory and on time. What counts as a failure: a
traceback, a crash, a process that ends for want of memory or does not end in time, an exit code that is none
of 0, 1 and 2, an error that is not one line, anything that native libraries print past Python, any file that
a failed command leaves or a hidden one that any leaves, and samples of a song that are not read. Failing
inputs are kept in DIR.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import fuzz_inputs
import fuzz_lengths
import numpy as np
import onnxruntime
import soundfile
from benchmark_machine import machine
from fuzz_worker import HEARD
from small_checkpoint import write_small_checkpoint

import onnx_demucs_compiler

if TYPE_CHECKING:
    from collections.abc import Callable

    from fuzz_lengths import Song

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
TIME_LIMIT = 120.0
"""Seconds for one command: a compile of the small model takes a tenth of it."""
KINDS = ("checkpoints", "models", "audio", "lengths", "command-lines")
CONTRACTS = [f"--contract={name}" for name in ("official", "minimal", "openkara", "web")]


@dataclass(frozen=True)
class Case:
    """A command in a folder of its own, and its input.

    Attributes:
        kind: one of :data:`KINDS`.
        folder: where it runs.
        arguments: the command's.
        song: what ``read`` is given, to be compared with what it heard.
    """

    kind: str
    folder: Path
    arguments: list[str]
    song: Song | None = None


@dataclass
class Verdict:
    """The outcome of a case.

    Attributes:
        problem: why it is a failure, in a word; empty if it is none.
        exit_code: of the command; None if it did not come to an end.
        detail: the traceback, or what was printed.
    """

    problem: str
    exit_code: int | None
    detail: str


@dataclass
class Worker:
    """A process that runs commands, started anew after each that kills it."""

    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def run(self, case: Case) -> Verdict:
        """Run a case and judge it."""
        before = _files(case.folder)
        answer = self._answer(case)
        if isinstance(answer, Verdict):
            return answer
        left = sorted(_files(case.folder) - before)
        verdict = judged(answer, left)
        if case.song and verdict.exit_code == 0:
            heard = np.load(case.folder / HEARD)
            verdict.problem = verdict.problem or case.song.problem(heard, answer["stderr"])
        return verdict

    def _answer(self, case: Case) -> dict[str, Any] | Verdict:
        process = self.process = self.process or _start_worker()
        assert process.stdin is not None
        assert process.stdout is not None
        print(
            json.dumps({"folder": str(case.folder), "arguments": case.arguments}),
            file=process.stdin,
            flush=True,
        )
        ready, _, _ = select.select([process.stdout], [], [], TIME_LIMIT)
        line = process.stdout.readline() if ready else ""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self.close()
        if not ready:
            return Verdict("hang", None, f"no end within {TIME_LIMIT:.0f} s")
        return Verdict("crash", process.returncode, f"the process ended with {process.returncode}")

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1)
            self.process.kill()
            self.process.communicate()
            self.process = None


def _start_worker() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", HERE / "fuzz_worker.py"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "rules")))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def judged(answer: dict[str, Any], left: list[str]) -> Verdict:
    """The verdict on a command's promises."""
    code, errors = answer["exit_code"], answer["stderr"]
    told = "\n".join(filter(None, (errors, answer["traceback"], answer["noise"], *left)))
    hidden = [name for name in left if any(part.startswith(".") for part in Path(name).parts)]
    lines = [line for line in errors.splitlines() if not line.startswith("warning: ")]
    error_lines = [line for line in lines if line.startswith("error: ")]
    problem = ""
    if answer["traceback"] or "Traceback (most recent call last)" in told:
        problem = "traceback"
    elif code not in (0, 1, 2):
        problem = "exit code"
    elif answer["noise"]:
        problem = "noise"
    elif hidden or (code and left):
        problem = "files left"
    elif code == 1 and (len(lines) != 1 or not error_lines):
        problem = "no error line"
    elif code == 2 and not (error_lines or "Usage: " in errors):
        problem = "no usage"
    elif code == 0 and lines:
        problem = "words on stderr"
    return Verdict(problem, code, told)


def _files(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() or path.name[0] == "."
    }


def write_bases(folder: Path) -> Path:
    """The good files that damaged ones are made of."""
    write_small_checkpoint(folder / "small.th")
    onnx_demucs_compiler.compile(str(folder / "small.th"), verify=False).save(folder / "small.onnx")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.optimized_model_filepath = str(folder / "small.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(folder / "small.onnx", options, providers=["CPUExecutionProvider"])
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (6000, 2))
    soundfile.write(folder / "song.wav", samples, 8000)
    (folder / "text.txt").write_text("neither a model nor a song\n")
    (folder / "empty").touch()
    return folder


def checkpoint_case(random: Random, bases: Path, folder: Path) -> Case:
    """A damaged checkpoint to compile."""
    (folder / "x.th").write_bytes(fuzz_inputs.checkpoint(random, (bases / "small.th").read_bytes()))
    parity = [] if random.random() < 0.2 else ["--no-verify"]
    return Case("checkpoints", folder, ["compile", "x.th", "-o", "x.onnx", "--quiet", *parity])


def model_case(random: Random, bases: Path, folder: Path) -> Case:
    """A damaged model to separate with, to compare, or to check."""
    if random.random() < 0.75:
        (folder / "x.onnx").write_bytes(fuzz_inputs.model(random, (bases / "small.onnx").read_bytes()))
    else:
        (folder / "x.onnx").write_bytes(fuzz_inputs.damaged(random, (bases / "small.ort").read_bytes()))
    (folder / "song.wav").hardlink_to(bases / "song.wav")
    command = random.choice(("separate", "separate", "contract", "contract", "verify"))
    if command == "separate":
        return Case("models", folder, ["separate", "x.onnx", "song.wav", "--quiet"])
    if command == "contract":
        return Case("models", folder, ["verify", "x.onnx", *CONTRACTS, "--quiet"])
    return Case("models", folder, ["verify", "x.onnx", "--model", str(bases / "small.th"), "--quiet"])


def audio_case(random: Random, bases: Path, folder: Path) -> Case:
    """An odd song to separate."""
    suffix, content = fuzz_inputs.song(random)
    (folder / f"x{suffix}").write_bytes(content)
    more = random.choice(
        ([], ["--format", "flac"], ["--float32"], ["--two-stems", "vocals"], ["--overlap", "0"])
    )
    return Case("audio", folder, ["separate", str(bases / "small.onnx"), f"x{suffix}", "--quiet", *more])


def length_case(random: Random, bases: Path, folder: Path) -> Case:  # noqa: ARG001
    """A song to read whose header may lie about its length."""
    song = fuzz_lengths.miscounted(random)
    (folder / f"x{song.suffix}").write_bytes(song.content)
    return Case("lengths", folder, ["read", f"x{song.suffix}", str(song.rate)], song)


def command_line_case(random: Random, bases: Path, folder: Path) -> Case:
    """Arguments at random."""
    fuzz_inputs.prepared(folder, bases)
    return Case("command-lines", folder, fuzz_inputs.command_line(random))


MAKERS: dict[str, Callable[[Random, Path, Path], Case]] = dict(
    zip(KINDS, (checkpoint_case, model_case, audio_case, length_case, command_line_case), strict=True)
)


def main() -> None:
    """Try inputs until the time is up, and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--failures", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        bases = Path(name) / "bases"
        bases.mkdir()
        write_bases(bases)
        results = machine() | {"seconds": arguments.seconds, "seed": arguments.seed}
        results["kinds"] = {
            kind: tried(
                kind, bases, arguments.seed, arguments.seconds / len(arguments.kinds), arguments.failures
            )
            for kind in arguments.kinds
        }
    print(json.dumps(results, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def tried(kind: str, bases: Path, seed: int, seconds: float, failures: Path | None) -> dict[str, Any]:
    """Counts of one kind: inputs, exit codes, and problems."""
    worker, number = Worker(), 0
    codes: Counter[str] = Counter()
    problems: Counter[str] = Counter()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        random = Random(f"{kind}/{seed}/{number}")
        folder = bases.parent / f"{kind}-{number}"
        folder.mkdir()
        case = MAKERS[kind](random, bases, folder)
        verdict = worker.run(case)
        codes[str(verdict.exit_code)] += 1
        if verdict.problem:
            problems[verdict.problem] += 1
            words = f"{kind} {number}: {verdict.problem}: {case.arguments}\n{verdict.detail}"
            print(words, file=sys.stderr, flush=True)
            if failures:
                shutil.copytree(folder, failures / f"{kind}-{seed}-{number}", dirs_exist_ok=True)
                (failures / f"{kind}-{seed}-{number}" / "verdict.txt").write_text(words)
        shutil.rmtree(folder)
        number += 1
    worker.close()
    return {
        "inputs": number,
        "exit_codes": dict(sorted(codes.items())),
        "problems": dict(sorted(problems.items())),
    }


if __name__ == "__main__":
    main()

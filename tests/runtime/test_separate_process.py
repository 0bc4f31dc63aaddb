"""What only a process of its own can show: imports, signals, memory, a disk that is really full."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from onnx import helper, numpy_helper
from tiny_model import TinyModel

MAIN = "from onnx_demucs_compiler.__main__ import main; main()"
FULL_DISK = Path(__file__).with_name("full_disk.py")
MIB = 2**20
MINUTE = 60 * 44100

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and resource limits")


def command(*arguments: object, code: str = MAIN) -> list[str]:
    return [sys.executable, "-c", code, *(str(argument) for argument in arguments)]


def write_song(path: Path, frames: int, sample_rate: int) -> Path:
    block = np.random.default_rng(0).uniform(-0.3, 0.3, (sample_rate, 2)).astype(np.float32)
    with soundfile.SoundFile(path, "w", sample_rate, 2, "PCM_16") as file:
        for _ in range(frames // sample_rate):
            file.write(block)
    return path


def test_imports_neither_torch_nor_demucs_nor_onnx(artifact: Path, song: Path, out: Path) -> None:
    code = """
import sys
from onnx_demucs_compiler.__main__ import main
try:
    main()
finally:
    print({"torch", "demucs", "onnx", "onnxscript"} & set(sys.modules))
"""
    arguments = command("separate", artifact, song, "-o", out, "--quiet", code=code)
    finished = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert finished.stdout == "set()\n"
    assert len(list(out.rglob("*.wav"))) == 3


def test_what_onnxruntime_finds_is_told_once(song: Path, tmp_path: Path, out: Path) -> None:
    """It logs its errors to stderr as well, past Python."""
    path = TinyModel().save(tmp_path / "broken.onnx")
    model = onnx.load(path)
    model.graph.node[-1].output[0] = "all"
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, 1, 7]), "picked"))
    model.graph.node.append(helper.make_node("Gather", ["all", "picked"], ["stems"], axis=1))
    onnx.save(model, path)
    arguments = command("separate", path, song, "-o", out)
    finished = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr.startswith("error: onnxruntime cannot run the model (")
    assert "idx=7" in finished.stderr
    assert finished.stderr.count("\n") == 1
    assert not out.exists()


@posix
@pytest.mark.parametrize(
    ("number", "exit_code", "message"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_leaves_nothing_behind(
    number: int, exit_code: int, message: str, artifact: Path, tmp_path: Path, out: Path
) -> None:
    song = write_song(tmp_path / "long.wav", 3600 * 8000, 8000)
    arguments = command("separate", artifact, song, "-o", out)
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while not list(out.rglob("*.f32")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        printed, errors = process.communicate(timeout=30)
    assert process.returncode == exit_code
    assert printed == ""
    assert errors == f"error: {message}; no partial file was left\n"
    assert not out.exists()


@posix
@pytest.mark.parametrize("limit", [20_000, 119_999], ids=["separating", "encoding"])
def test_writing_that_fails_leaves_nothing_behind(limit: int, tmp_path: Path, out: Path) -> None:
    """A limit on the size of files stands for a full disk: a raw stem is 120 000 bytes, a float wav more."""
    code = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit} + 1, {limit} + 1))
{MAIN}
"""
    model = TinyModel().save(tmp_path / "tiny.onnx")
    song = tmp_path / "song.wav"
    soundfile.write(song, np.zeros((120_000 // 8, 2)), 8000)
    arguments = command("separate", model, song, "-o", out, "--float32", code=code)
    finished = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert finished.returncode == 1
    assert finished.stderr == f"error: {song}: File too large\n"
    assert not out.exists()


@posix
@pytest.mark.parametrize(
    "encoding", [{}, {"float32": True}, {"format": "flac"}], ids=["wav", "float32", "flac"]
)
def test_wherever_writing_fails_it_is_noticed(encoding: dict[str, object], tmp_path: Path) -> None:
    """Down to the last flush of a flac file, of which libsndfile says nothing."""
    arguments = [sys.executable, FULL_DISK, tmp_path, json.dumps(encoding), "{}"]
    finished = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")


@posix
def test_a_closed_pipe_is_quiet(artifact: Path, song: Path, out: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    arguments = command("separate", artifact, song, "-o", out, "--json")
    finished = subprocess.run(arguments, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert finished.returncode == 1
    assert finished.stderr == ""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_song(tmp_path: Path) -> None:
    tiny = TinyModel(segment=343980, sample_rate=44100, sources=("drums", "bass", "other", "vocals"))
    model = tiny.save(tmp_path / "tiny.onnx")
    code = """
import sys
from pathlib import Path
from onnx_demucs_compiler.runtime import Separator
import numpy as np
def status(key):
    [line] = [l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith(key + ":")]
    return int(line.split()[1]) * 1024
separator = Separator(sys.argv[1], threads=1)
separator._graph.run(np.zeros((1, 2, 343980), np.float32))
Path("/proc/self/clear_refs").write_text("5")
loaded = status("VmRSS")
separator.separate_file(Path(sys.argv[2]), Path(sys.argv[3]))
print(status("VmHWM") - loaded)
"""
    beyond_the_session = []
    for minutes in (1, 4):
        song = write_song(tmp_path / f"{minutes}.wav", minutes * MINUTE, 44100)
        arguments = command(model, song, tmp_path / "out", code=code)
        finished = subprocess.run(arguments, capture_output=True, text=True, check=True)
        beyond_the_session.append(int(finished.stdout))
    short, long = beyond_the_session
    stereo_of_three_minutes = 3 * MINUTE * 2 * 4
    assert long - short < stereo_of_three_minutes / 2
    assert long < 200 * MIB  # the stems are 339

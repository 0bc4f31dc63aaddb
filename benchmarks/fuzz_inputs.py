"""Damaged and odd inputs, drawn at random: checkpoints, models, audio, commands.

Every function takes its generator first, so that hypothesis can lend one that it knows how to shrink.
"""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import numpy as np
import onnx
import soundfile
import typer

from onnx_demucs_compiler.cli import COMMANDS, app

if TYPE_CHECKING:
    from random import Random

ODD_NUMBERS = ("0", "-1", "1", "3", "17", "18", "27", "99", "0.5", "1e308", "-inf", "nan", "1e-320", "0x10",
               "\uff14", "9" * 30, "2147483648", "18446744073709551616", "")  # fmt: skip
ODD_WORDS = ("", " ", "-", "--", ".", "..", "/", "a,b", ",", "*", "[", "(?P<", "speed", "no such", "%s",
             "{}", "\u202e", "\U0001f3b6", "ä" * 300, "a\nb", "\x1b[31m", "vocals", "drums", "dynamic",
             "segment")  # fmt: skip
ODD_LISTS = (
    "[]",
    "{}",
    '["a"]',
    '["a","a","a","a"]',
    "[1]",
    "null",
    '["../../x","y"]',
    '["", ""]',
    "[" * 3000,
)
FILES = ("small.th", "small.onnx", "small.ort", "song.wav", "text.txt", "empty", "folder", "absent",
         "absent/x", "folder/x.onnx", "/dev/null", "/dev/full", "x.onnx", "y.json", "~", "-")  # fmt: skip
"""What command lines name; the first six exist, the seventh is a folder."""
USUAL = {
    ("compile", "model"): "small.th",
    ("info", "artifact"): "small.onnx",
    ("ops-config", "models"): "small.onnx",
    ("separate", "model"): "small.onnx",
    ("separate", "songs"): "song.wav",
    ("verify", "artifact"): "small.onnx",
    ("web", "model"): "small.onnx",
}
"""What a positional argument is given most of the time."""


def damaged(random: Random, data: bytes) -> bytes:
    """Bytes with a few of them changed, lost, doubled or swapped."""
    for _ in range(random.choice((1, 1, 2, 5, 20))):
        data = random.choice(_DAMAGES)(random, data)
    return data


def _flip(random: Random, data: bytes) -> bytes:
    if not data:
        return data
    at = _place(random, data)
    return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]


def _overwrite(random: Random, data: bytes) -> bytes:
    at = _place(random, data)
    new = random.choice((b"\0", b"\xff", b"\x7f\xff\xff\xff", b"\xff" * 8, b"\0" * 8, random.randbytes(4)))
    return data[:at] + new + data[at + len(new) :]


def _truncate(random: Random, data: bytes) -> bytes:
    return data[: _place(random, data)]


def _cut(random: Random, data: bytes) -> bytes:
    at = _place(random, data)
    return data[:at] + data[at + random.choice((1, 4, 100)) :]


def _insert(random: Random, data: bytes) -> bytes:
    at = _place(random, data)
    return data[:at] + random.randbytes(random.choice((1, 4, 100))) + data[at:]


def _double(random: Random, data: bytes) -> bytes:
    at = _place(random, data)
    return data[:at] + data[max(0, at - random.choice((1, 8, 200))) :]


_DAMAGES = (_flip, _flip, _flip, _overwrite, _overwrite, _truncate, _cut, _insert, _double)


def _place(random: Random, data: bytes) -> int:
    """Anywhere, and near the ends, where headers and directories are, more often."""
    last = max(0, len(data) - 1)
    near = min(last, 512)
    return random.choice(
        (random.randint(0, last), random.randint(0, near), random.randint(last - near, last))
    )


def checkpoint(random: Random, data: bytes) -> bytes:
    """A damaged ``.th`` file: its bytes, or the members of its archive."""
    return damaged(random, data) if random.random() < 0.4 else _archive(random, data)


def _archive(random: Random, data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    names = list(members)
    one, other = random.choice(names), random.choice(names)
    change = random.choice(
        ("swap", "drop", "damage", "pickle", "pickle", "pickle", "empty", "rename", "huge")
    )
    if change == "swap":
        members[one], members[other] = members[other], members[one]
    elif change == "drop":
        del members[one]
    elif change == "damage":
        members[one] = damaged(random, members[one])
    elif change == "pickle":
        [pickle] = [name for name in names if name.endswith("data.pkl")]
        members[pickle] = damaged(random, members[pickle])
    elif change == "empty":
        members[one] = b""
    elif change == "rename":
        members[random.choice(("data.pkl", "../x", "archive/data/0", "x" * 300))] = members.pop(one)
    else:
        members[one] = members[one] + b"\0" * 1_000_000
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def model(random: Random, data: bytes) -> bytes:
    """A damaged ``.onnx`` file: its bytes, or what they declare."""
    if random.random() < 0.4:
        return damaged(random, data)
    proto = onnx.load_model_from_string(data)
    for _ in range(random.choice((1, 1, 3))):
        random.choice(_DECLARATIONS)(random, proto)
    return bytes(proto.SerializeToString())


def _a_node(random: Random, proto: onnx.ModelProto) -> None:
    node = random.choice(proto.graph.node)
    change = random.randrange(6)
    if change == 0:
        node.op_type = random.choice(
            ("Add", "Conv", "Loop", "If", "STFT", "NoSuch", "", "Reshape", "Expand", "Pad")
        )
    elif change == 1:
        node.domain = random.choice(("com.microsoft", "com.microsoft.nchwc", "acme", "ai.onnx.ml"))
    elif change == 2 and node.input:
        node.input[random.randrange(len(node.input))] = random.choice((node.output[0], "", "mix", "nowhere"))
    elif change == 3 and node.attribute:
        attribute = random.choice(node.attribute)
        attribute.i = random.choice((0, -1, 2**62, 10**9))
        attribute.ints[:] = [random.choice((0, -1, 1, 2**40)) for _ in range(random.randrange(4))]
    elif change == 4:
        proto.graph.node.remove(node)
    else:
        proto.graph.node.append(node)


def _a_weight(random: Random, proto: onnx.ModelProto) -> None:
    weight = random.choice(proto.graph.initializer)
    change = random.randrange(5)
    if change == 0:
        weight.dims[:] = [random.choice((0, 1, -1, 7, 2**31, 2**62)) for _ in range(random.randrange(5))]
    elif change == 1:
        weight.data_type = random.choice((0, 1, 7, 8, 10, 16, 99))
    elif change == 2:
        weight.raw_data = damaged(random, weight.raw_data)
    elif change == 3:
        values = np.frombuffer(weight.raw_data[: len(weight.raw_data) // 4 * 4], np.float32).copy()
        values[:1] = random.choice((np.nan, np.inf, -np.inf, 1e38))
        weight.raw_data = values.tobytes()
    else:
        weight.data_location = onnx.TensorProto.EXTERNAL
        path = random.choice(("absent.data", "../x", "/etc/passwd", "song.wav", "/dev/zero", ""))
        entries = {"location": path, "offset": random.choice(("0", "-1", "x", str(2**63))), "length": "8"}
        for key, value in entries.items():
            weight.external_data.add(key=key, value=value)


def _a_fact(random: Random, proto: onnx.ModelProto) -> None:
    fact = random.choice(proto.metadata_props)
    fact.value = random.choice((*ODD_NUMBERS, *ODD_WORDS, *ODD_LISTS))


def _a_port(random: Random, proto: onnx.ModelProto) -> None:
    port = random.choice((*proto.graph.input, *proto.graph.output))
    tensor = port.type.tensor_type
    change = random.randrange(4)
    if change == 0 and tensor.shape.dim:
        random.choice(tensor.shape.dim).dim_value = random.choice((0, -1, 1, 2**31, 2**62))
    elif change == 1 and tensor.shape.dim:
        random.choice(tensor.shape.dim).dim_param = random.choice(("n", "", "batch"))
    elif change == 2:
        tensor.elem_type = random.choice((0, 1, 7, 8, 10, 11, 99))
    else:
        port.name = random.choice(("", "x", "mix", "stems"))


def _a_version(random: Random, proto: onnx.ModelProto) -> None:
    if random.random() < 0.5:
        proto.ir_version = random.choice((0, -1, 3, 99, 2**40))
    else:
        proto.opset_import[0].version = random.choice((0, -1, 1, 7, 99, 2**40))


_DECLARATIONS = (_a_node, _a_node, _a_node, _a_weight, _a_weight, _a_fact, _a_fact, _a_port, _a_version)


def song(random: Random) -> tuple[str, bytes]:
    """A song's suffix and content: odd header, odd samples, or damage."""
    if random.random() < 0.5:
        return ".wav", _wav(random)
    suffix, file_format, subtype = random.choice(
        ((".wav", "WAV", "PCM_16"), (".wav", "WAV", "FLOAT"), (".flac", "FLAC", "PCM_16"),
         (".ogg", "OGG", "VORBIS"), (".mp3", "MP3", "MPEG_LAYER_III"), (".aiff", "AIFF", "PCM_24"),
         (".w64", "W64", "DOUBLE"), (".caf", "CAF", "PCM_16"), (".au", "AU", "ULAW"))
    )  # fmt: skip
    content = io.BytesIO()
    samples = np.random.default_rng(random.randrange(2**31)).uniform(
        -0.5, 0.5, (random.choice((1, 9, 4000)), 2)
    )
    soundfile.write(content, samples, random.choice((8000, 44100)), subtype, format=file_format)
    data = content.getvalue()
    return suffix, data if random.random() < 0.1 else damaged(random, data)


WAV_FORMATS = ((1, 16), (1, 8), (1, 24), (1, 32), (1, 1), (1, 0), (3, 16), (3, 32), (3, 64), (6, 8), (7, 8),
               (17, 4), (0, 0), (0xFFFE, 16), (99, 16))  # fmt: skip
"""Tags of encodings and bits of a sample, some of which go together."""


def _wav(random: Random) -> bytes:
    """By hand, since no library writes such headers."""
    tag, bits = random.choice(WAV_FORMATS)
    channels = random.choice((1, 2, 2, 2, 3, 32, 0, 1025, 65535))
    rate = random.choice((8000, 8000, 44100, 1, 2, 10_000_000, 0, 2**31 - 1, 2**32 - 1))
    frames = random.choice((0, 1, 2, 63))
    width = max(1, bits // 8)
    samples = np.zeros(frames * channels * width, np.uint8)
    if tag == 3 and bits == 32 and samples.size:
        values = samples.view(np.float32)
        values[:] = random.choice((0.1, np.nan, np.inf, -np.inf, 3e38, 1e-45, 2.0))
    elif random.random() < 0.8:
        samples = np.frombuffer(random.randbytes(len(samples)), np.uint8)
    data = samples.tobytes()
    length = random.choice((len(data), len(data), 0, 1, 2**32 - 1, 2**31, len(data) + 7))
    align = random.choice((channels * width, channels * width, 0, 1)) & 0xFFFF
    header = struct.pack("<HHIIHH", tag, channels, rate, (rate * align) & 0xFFFFFFFF, align, bits)
    chunks = b"fmt " + struct.pack("<I", len(header)) + header + b"data" + struct.pack("<I", length) + data
    return b"RIFF" + struct.pack("<I", random.choice((4 + len(chunks), 0, 2**32 - 1))) + b"WAVE" + chunks


def command_line(random: Random) -> list[str]:
    """Arguments for some command, declared and undeclared."""
    group: Any = typer.main.get_command(app)
    command = random.choice(list(COMMANDS))
    kinds = get_type_hints(COMMANDS[command])
    arguments = [command]
    for parameter in group.commands[command].params:
        options = [name for name in parameter.opts if name.startswith("-")]
        if not options:
            arguments += _positional(random, command, parameter.name)
        elif random.random() < 0.15:
            value = [] if parameter.is_flag else [random.choice(_values(kinds.get(parameter.name, str)))]
            arguments += [random.choice(options), *value]
    if random.random() < 0.1:
        arguments.insert(random.randrange(len(arguments) + 1), random.choice(ODD_WORDS))
    return arguments


def _positional(random: Random, command: str, name: str) -> list[str]:
    if random.random() < 0.05:
        return []
    if command == "rules":
        return random.choice(([], ["new"], [random.choice(ODD_WORDS)], ["stft-as-matmul"]))
    if random.random() < 0.8:
        return [USUAL[command, name]]
    return [random.choice((*FILES, *ODD_WORDS))]


def _values(kind: Any) -> tuple[str, ...]:
    """Values for an option of a type."""
    members = {kind, *get_args(kind)}
    choices = [
        choice for member in members for choice in (*get_args(member), member) if isinstance(choice, str)
    ]
    if choices:
        return (*choices, "neither")
    if members & {int, float}:
        return ODD_NUMBERS
    if Path in members:
        return FILES
    return (
        *ODD_WORDS,
        *ODD_NUMBERS,
        *FILES,
        "portable",
        "ort",
        "core",
        "waveform",
        "fp32",
        "official",
        "web",
    )


def prepared(folder: Path, bases: Path) -> None:
    """Lay out the files of command lines as links to real ones."""
    for name in FILES[:6]:
        (folder / name).hardlink_to(bases / name)
    (folder / "folder").mkdir()

"""The reduced-operator config: every kernel that a session resolves, and no other."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnxruntime.tools import convert_onnx_models_to_ort
from ort_examples import FLOATS, LOOP, NUMBERS, model, profiled
from torch import nn

from onnx_demucs_compiler import CompilerError, compile
from onnx_demucs_compiler.artifact.compiled import serialized
from onnx_demucs_compiler.ort import check_ops_config, conversion, ops_config, ort_format
from onnx_demucs_compiler.ort.canonical import canonical
from onnx_demucs_compiler.ort.kernels import kept, resolved
from onnx_demucs_compiler.ort.ops_config import HEADER, _differences
from onnx_demucs_compiler.ort.tools import fbs
from onnx_demucs_rules.examples import small_htdemucs

ROOT = Path(__file__).parents[2]
LOOPING = (
    HEADER
    + """\
ai.onnx;13;Cast{"inputs": {"0": ["int64_t"]}, "outputs": {"0": ["float"]}},Concat{"inputs": {"0": ["float"]}},Tanh{"inputs": {"0": ["float"]}}
ai.onnx;14;Add{"inputs": {"0": ["int64_t"]}},Div{"inputs": {"0": ["int64_t"]}},Mul{"inputs": {"0": ["float"]}},Sub{"inputs": {"0": ["float"]}}
ai.onnx;15;Shape
ai.onnx;16;Identity,Loop
ai.onnx;18;Split{"inputs": {"0": ["float"]}}
com.microsoft;1;Gelu
"""  # noqa: E501 - the format knows no shorter lines
)


@pytest.fixture(scope="module")
def looping() -> bytes:
    return ort_format(model(LOOP))


def tracked() -> nn.Module:
    return small_htdemucs(depth=1)


@pytest.fixture(scope="module")
def track() -> bytes:
    """A whole-track graph for ONNX Runtime: a Loop, shapes in whole numbers, operators of com.microsoft."""
    return ort_format(serialized(compile(tracked(), target="ort", track=True, verify=False).model))


def test_what_a_config_says(looping: bytes) -> None:
    assert ops_config([looping]).decode() == LOOPING


def test_it_is_what_onnxruntimes_own_command_writes(
    looping: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.onnx").write_bytes(model(LOOP))
    monkeypatch.setenv("ORT_CONVERT_ONNX_MODELS_TO_ORT_OPTIMIZATION_LEVEL", "disable")
    convert_onnx_models_to_ort.convert_onnx_models_to_ort(
        tmp_path / "model.onnx",
        optimization_styles=[convert_onnx_models_to_ort.OptimizationStyle.Fixed],
        enable_type_reduction=True,
    )
    [config] = tmp_path.glob("*.config")
    [converted] = tmp_path.glob("*.ort")
    lines = [line for line in config.read_text().splitlines() if not line.startswith("#")]
    assert lines == LOOPING.removeprefix(HEADER).splitlines()
    assert canonical(converted.read_bytes()) == looping


def test_the_same_bytes_wherever_it_is_made(looping: bytes, tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from onnx_demucs_compiler.ort import as_ort_format, ops_config
converted = as_ort_format(Path(sys.argv[1]))
Path("out.ort").write_bytes(converted)
Path("out.config").write_bytes(ops_config([converted]))
"""
    (tmp_path / "model.onnx").write_bytes(model(LOOP))
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model.onnx")],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"},
        check=True,
    )
    assert (tmp_path / "out.ort").read_bytes() == looping
    assert (tmp_path / "out.config").read_text() == LOOPING


@pytest.mark.parametrize("name", ["looping", "track"])
def test_every_kernel_that_a_session_runs(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """The profiler tells what ran, in bodies too; node for node it is what the file was read to need."""
    content = request.getfixturevalue(name)
    port = onnxruntime.InferenceSession(content).get_inputs()[0]
    shape = [size if isinstance(size, int) else 9000 for size in port.shape]
    runs = profiled(content, {port.name: np.full(shape, 0.1, np.float32)}, tmp_path)
    needed = resolved([content])
    assert {run["op_name"] for run in runs} == {operator.name for operator in needed.operators}
    for run in runs:
        [types] = [
            types
            for argument, types in needed.types.items()
            if (argument.operator, argument.side, argument.position) == (run["op_name"], "Output", 0)
        ]
        [[ran, _]] = run["output_type_shape"][0].items()
        assert ran in {found.removesuffix("_t") for found in types}


@pytest.mark.parametrize("name", ["looping", "track"])
def test_versions_are_those_that_onnxruntime_stores(name: str, request: pytest.FixtureRequest) -> None:
    """Beside the graph it stores a key for each of its operators, made when it looked them up itself."""
    content = request.getfixturevalue(name)
    stored = fbs.InferenceSession.InferenceSession.GetRootAs(bytearray(content), 0).KernelTypeStrResolver()
    keys = {stored.OpKernelTypeStrArgs(i).OpId().decode() for i in range(stored.OpKernelTypeStrArgsLength())}
    for domain, version, operator in resolved([content]).operators:
        assert f"{domain.removeprefix('ai.onnx')}:{operator}:{version}" in keys


def resolver(content: bytes) -> set[tuple[bytes, bytes, int, int]]:
    """What the part says that is written anew."""
    stored = fbs.InferenceSession.InferenceSession.GetRootAs(bytearray(content), 0).KernelTypeStrResolver()
    operators = [stored.OpKernelTypeStrArgs(i) for i in range(stored.OpKernelTypeStrArgsLength())]
    return {
        (operator.OpId(), kind.KernelTypeStr(), kind.Args(k).ArgType(), kind.Args(k).Index())
        for operator in operators
        for kind in (operator.KernelTypeStrArgs(j) for j in range(operator.KernelTypeStrArgsLength()))
        for k in range(kind.ArgsLength())
    }


def test_nothing_is_lost_where_the_order_is_made_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []

    def keep(file: bytes) -> bytes:
        written.append(file)
        return canonical(file)

    monkeypatch.setattr(conversion, "canonical", keep)
    converted = ort_format(model(LOOP))
    assert resolver(converted) == resolver(written[0])
    assert canonical(converted) == converted


def test_bodies_and_whole_numbers_are_seen(track: bytes) -> None:
    config = ops_config([track]).decode()
    for part in (
        "Loop",
        "MultiHeadAttention",
        'Add{"inputs": {"0": ["float", "int64_t"]}}',
        "Conv{",
        "com.microsoft;1;",
    ):
        assert part in config


def without(config: str) -> Iterator[tuple[str, str]]:
    """Every config that lacks one line, one operator or one type of this one."""
    lines = config.splitlines(keepends=True)
    for index, line in enumerate(lines):
        if line.startswith("#"):
            continue
        rest = [*lines[:index], *lines[index + 1 :]]
        yield line, "".join(rest)
        head, operators = line.rstrip("\n").rsplit(";", 1)
        entries = re.findall(r"\w+(?:\{.*?\}\})?", operators)
        assert ",".join(entries) == operators
        for entry in entries:
            others = ",".join(other for other in entries if other != entry)
            if others:
                yield entry, "".join([*rest, f"{head};{others}\n"])
        for quoted in re.finditer(r'"[a-z][\w:]+"(, )?(?=[\]"])', line):
            shorter = line[: quoted.start()] + line[quoted.end() :]
            yield f"{quoted[0]} in {line}", "".join([*rest, shorter.replace(", ]", "]")])
        for entry in entries:
            if "{" in entry:
                bare = entry.partition("{")[0]
                yield f"types of {entry}", "".join([*rest, line.replace(entry, bare)])


@pytest.mark.parametrize("name", ["looping", "track"])
def test_whatever_is_removed_is_missed(name: str, request: pytest.FixtureRequest) -> None:
    content = request.getfixturevalue(name)
    config = ops_config([content]).decode()
    needed = resolved([content])
    assert list(_differences(kept(config.encode()), needed, kept(config.encode()))) == []
    shorter = dict(without(config))
    assert len(shorter) > config.count("\n") + config.count("{")
    for removed, rest in shorter.items():
        missed = " ".join(_differences(kept(rest.encode()), needed, kept(config.encode())))
        assert "lacks" in missed or "does not list" in missed, f"not missed: {removed}"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Tanh{", "TanhGrad,Tanh{", "has ai.onnx;13;TanhGrad, which nothing uses"),
        ("ai.onnx;15;", "ai.onnx;13,15;", "has ai.onnx;13;Shape, which nothing uses"),
        ("ai.onnx;15;", "ai.onnx;14;", "lacks ai.onnx;15;Shape; has ai.onnx;14;Shape, which nothing uses"),
        ("Gelu", "Gelu,FusedConv", "has com.microsoft;1;FusedConv, which nothing uses"),
        ("com.microsoft;1;Gelu\n", "", "lacks com.microsoft;1;Gelu"),
        ('Add{"inputs": {"0": ["int64_t"]}}', 'Add{"inputs": {"0": ["float", "int64_t"]}}',
         "lists float for input 0 of ai.onnx Add, which nothing uses"),
        ('Cast{"inputs": {"0": ["int64_t"]}, "outputs": {"0": ["float"]}}', "Cast",
         "does not list int64_t for input 0 of ai.onnx Cast; does not list float for output 0"),
        ('Tanh{"inputs": {"0": ["float"]}}', 'Tanh{"inputs": {"0": ["double"]}}',
         "does not list float for input 0 of ai.onnx Tanh; lists double for input 0"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(old: str, new: str, message: str, looping: bytes) -> None:
    assert LOOPING.count(old) == 1
    with pytest.raises(CompilerError, match=re.escape(message)):
        check_ops_config(LOOPING.replace(old, new).encode(), [looping])


def test_models_together_need_the_types_of_each() -> None:
    floats, numbers = ort_format(model(FLOATS)), ort_format(model(NUMBERS))
    both = ops_config([floats, numbers])
    assert both == ops_config([numbers, floats])
    assert 'ai.onnx;7;Add{"inputs": {"0": ["float", "int64_t"]}}\n' in both.decode()
    assert 'ai.onnx;14;Add{"inputs": {"0": ["float", "int64_t"]}}\n' in both.decode()
    with pytest.raises(CompilerError, match="has ai.onnx;7;Add, which nothing uses"):
        check_ops_config(both, [floats])


def test_configs_one_after_the_other_do_not_do() -> None:
    floats, numbers = ort_format(model(FLOATS)), ort_format(model(NUMBERS))
    joined = ops_config([floats]) + ops_config([numbers])
    with pytest.raises(CompilerError, match="does not list float for input 0 of ai.onnx Add"):
        check_ops_config(joined, [floats, numbers])


def test_an_empty_domain_is_no_domain(looping: bytes) -> None:
    with pytest.raises(CompilerError, match="lacks ai.onnx;13;Cast"):
        check_ops_config(LOOPING.replace("ai.onnx;", ";").encode(), [looping])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a config\n", "not a reduced-operator config"),
        (b"ai.onnx;eleven;Conv\n", "not a reduced-operator config"),
        (b'ai.onnx;11;Conv{"inputs"\n', "not a reduced-operator config"),
        (b'ai.onnx;11;Conv{"inputs": 3}\n', "not a reduced-operator config"),
        (b"\xff\xfe\n", "not a reduced-operator config"),
        (b"!no_ops_specified_means_all_ops_are_required\n", "it keeps every operator"),
    ],
)
def test_what_is_no_config(content: bytes, message: str) -> None:
    with pytest.raises(CompilerError, match=message):
        kept(content)

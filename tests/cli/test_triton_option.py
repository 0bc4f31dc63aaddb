"""``compile --triton``: a model of Triton's repository, its config read by Triton's own schema."""

import errno
import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from cli_examples import fails_cleanly, run, strict_json, succeeds
from google.protobuf import text_format
from onnx import TensorProto, helper

from onnx_demucs_compiler import loading
from onnx_demucs_compiler.artifact import writing
from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.runtime.devices import CUDA
from onnx_demucs_compiler.runtime.session import session_options
from onnx_demucs_compiler.serving.triton import triton_config

MODEL = "two/1/model.onnx"


def schema() -> Any:
    """The module of tritonclient that its package would import only together with grpc."""
    package = importlib.util.find_spec("tritonclient")
    assert package is not None
    assert package.submodule_search_locations
    file = Path(package.submodule_search_locations[0], "grpc", "model_config_pb2.py")
    spec = importlib.util.spec_from_file_location("model_config_pb2", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCHEMA = schema()


def parsed(text: str) -> Any:
    return text_format.Parse(text, SCHEMA.ModelConfig())


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def shapes(ports: Any) -> list[tuple[str, str, list[int]]]:
    return [(port.name, SCHEMA.DataType.Name(port.data_type), list(port.dims)) for port in ports]


def texts(config: Any) -> dict[str, str]:
    return {key: value.string_value for key, value in config.parameters.items()}


def ports_of(path: Path) -> dict[str, list[int | str]]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return {port.name: port.shape for port in (*session.get_inputs(), *session.get_outputs())}


def graph(*ports: tuple[str, int, list[int | str] | None], sources: str = "[]") -> onnx.ModelProto:
    infos = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in ports]
    model = helper.make_model(helper.make_graph([], "any", infos[:1], infos[1:]))
    helper.set_model_props(model, {"sources": sources})
    return model


def test_segments_in_batches(checkpoint: Path, artifact: Path, folder: Path) -> None:
    printed = succeeds(run("compile", checkpoint, "--triton", "models"))
    assert f"models/{MODEL}: " in printed
    assert files(folder) == [f"models/{MODEL}", "models/two/config.pbtxt"]
    config = parsed((folder / "models" / "two" / "config.pbtxt").read_text(encoding="utf-8"))
    assert (config.backend, config.max_batch_size, config.HasField("dynamic_batching")) == (
        "onnxruntime",
        4,
        True,
    )
    declared = ports_of(folder / "models" / MODEL)
    assert [declared["mix"][0], declared["stems"][0]] == ["batch", "batch"]
    assert shapes(config.input) == [("mix", "TYPE_FP32", declared["mix"][1:])]
    assert shapes(config.output) == [("stems", "TYPE_FP32", declared["stems"][1:])]
    facts = texts(config)
    assert strict_json(facts["sources"]) == ["speech", "noise"]
    described = strict_json(succeeds(run("info", artifact, "--json")))
    assert facts["sample_rate"] == str(described["sample_rate"])
    assert facts["onnx_demucs.segment"] == str(declared["mix"][2])
    assert "onnx_demucs.overlap" not in facts


def test_a_batch_of_the_server_is_each_mix_alone(checkpoint: Path, artifact: Path, folder: Path) -> None:
    succeeds(run("compile", checkpoint, "--triton", "models", "--no-verify", "-q"))
    batched = onnxruntime.InferenceSession(folder / "models" / MODEL, providers=["CPUExecutionProvider"])
    alone = onnxruntime.InferenceSession(artifact, providers=["CPUExecutionProvider"])
    mixes = np.random.default_rng(0).standard_normal((3, *alone.get_inputs()[0].shape[1:])).astype(np.float32)
    [stems] = batched.run(None, {"mix": mixes})
    for mix, found in zip(mixes, stems, strict=True):
        np.testing.assert_allclose(found, alone.run(None, {"mix": mix[None]})[0][0], atol=1e-6)


def test_a_track_beside_it(checkpoint: Path, folder: Path) -> None:
    for options in ([], ["--track", "--overlap", "0.5"]):
        succeeds(run("compile", checkpoint, "--triton", "models", "--no-verify", "-q", *options))
    assert sorted(path.name for path in (folder / "models").iterdir()) == ["two", "two_track"]
    config = parsed((folder / "models" / "two_track" / "config.pbtxt").read_text(encoding="utf-8"))
    assert (config.max_batch_size, config.HasField("dynamic_batching")) == (0, False)
    assert shapes(config.input) == [("mix", "TYPE_FP32", [2, -1])]
    assert shapes(config.output) == [("stems", "TYPE_FP32", [2, 2, -1])]
    assert texts(config)["onnx_demucs.overlap"] == "0.5"


def test_a_batch_of_ones_own_is_left_to_the_client(checkpoint: Path, folder: Path) -> None:
    succeeds(run("compile", checkpoint, "--triton", ".", "--batch", "3", "--no-verify", "-q"))
    config = parsed((folder / "two" / "config.pbtxt").read_text(encoding="utf-8"))
    assert config.max_batch_size == 0
    assert [port.dims[0] for port in (*config.input, *config.output)] == [3, 3]


def test_the_session_is_that_of_separate() -> None:
    config = parsed(triton_config(graph(("x", TensorProto.FLOAT, ["batch"]), ("y", TensorProto.FLOAT, [1]))))
    ours, given = session_options(), texts(config)
    assert given["enable_mem_pattern"] == str(int(ours.enable_mem_pattern))
    assert given["execution_mode"] == str(
        int(ours.execution_mode != onnxruntime.ExecutionMode.ORT_SEQUENTIAL)
    )
    assert given["inter_op_thread_count"] == str(ours.inter_op_num_threads)
    [group] = config.instance_group
    assert (group.count, group.kind) == (1, SCHEMA.ModelInstanceGroup.KIND_AUTO)
    [accelerator] = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "cuda"
    assert dict(accelerator.parameters) == CUDA.options
    assert accelerator.parameters["use_tf32"] == "0"


def test_any_ports_and_names() -> None:
    ports = ('a "b"\\', TensorProto.INT64, ["batch", "samples"]), ("scalar", TensorProto.BOOL, ["batch"])
    config = parsed(triton_config(graph(*ports, sources='["\\u00e4", "ä\n"]')))
    assert config.max_batch_size == 4
    assert shapes(config.input) == [('a "b"\\', "TYPE_INT64", [-1])]
    assert shapes(config.output) == [("scalar", "TYPE_BOOL", [1])]
    assert config.output[0].HasField("reshape")
    assert texts(config)["sources"] == '["\\u00e4", "ä\n"]'
    config = parsed(
        triton_config(graph(("x", TensorProto.FLOAT16, ["batch", 2]), ("y", TensorProto.DOUBLE, [])))
    )
    assert config.max_batch_size == 0
    assert shapes(config.input) == [("x", "TYPE_FP16", [-1, 2])]
    with pytest.raises(CompilerError, match="y is of type COMPLEX64, which Triton does not have"):
        triton_config(graph(("x", TensorProto.FLOAT, [1]), ("y", TensorProto.COMPLEX64, [1])))


def test_force_replaces_what_it_wrote_and_nothing_else(checkpoint: Path, folder: Path) -> None:
    asked = ("compile", checkpoint, "--triton", "models", "--no-verify", "-q")
    other = folder / "models" / "other" / "config.pbtxt"
    other.parent.mkdir(parents=True)
    other.write_text("precious")
    succeeds(run(*asked))
    config = folder / "models" / "two" / "config.pbtxt"
    written = config.read_text(encoding="utf-8")
    config.write_text("edited")
    fails_cleanly(run(*asked), 2, "models/two exists; give --force")
    assert config.read_text() == "edited"
    succeeds(run(*asked, "--force"))
    assert config.read_text(encoding="utf-8") == written
    (folder / "models" / "two" / "2").mkdir()
    (folder / "models" / "two" / "2" / "model.onnx").write_bytes(b"precious")
    fails_cleanly(run(*asked, "--force"), 2, "models/two holds more than config.pbtxt and 1/model.onnx")
    assert (folder / "models" / "two" / "2" / "model.onnx").read_bytes() == b"precious"
    assert other.read_text() == "precious"


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--triton", "m", "-o", "x.onnx"], 2, "--triton excludes --output, --bundle, --external-data"),
        (["--triton", "m", "--bundle", "b"], 2, "--triton excludes"),
        (["--triton", "m", "--external-data"], 2, "--triton excludes"),
        (["--triton", "m", "--ort-format"], 2, "--triton excludes"),
        (["--triton", "m", "--ops-config"], 2, "--triton excludes"),
        (["--triton", "m", "--sha256"], 2, "--triton excludes"),
        (["--triton", "m", "--emit", "pt2"], 2, "--bundle and --triton are about"),
        (["--triton", "m", "--batch", ""], 2, "batch='' is not a value it takes"),
        (["--triton", "absent/m"], 1, "absent/m: the folder absent does not exist"),
        (["--triton", "file"], 2, "file is a file, and a model repository is a folder"),
        (["--triton", "taken"], 2, "taken/htdemucs exists; give --force"),
        (["--triton", "taken", "--force"], 2, "taken/htdemucs has no config.pbtxt, and would be replaced"),
        (["--triton", "taken", "--track", "--force"], 2, "taken/htdemucs_track has no config.pbtxt"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage(
    options: list[str], code: int, message: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "load_model", None)  # work would begin there
    (folder / "file").touch()
    (folder / "taken" / "htdemucs").mkdir(parents=True)
    (folder / "taken" / "htdemucs_track").touch()
    fails_cleanly(run("compile", "untrained:htdemucs", *options), code, message)
    assert files(folder) == ["file", "taken/htdemucs_track"]
    assert sorted(path.name for path in folder.iterdir()) == ["file", "taken"]


@pytest.mark.parametrize("repository", ["models", "."])
def test_a_full_disk_leaves_nothing(
    repository: str, checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writing.os, "fsync", fsync)
    asked = ("compile", checkpoint, "--triton", repository, "--no-verify")
    fails_cleanly(run(*asked), 1, "cannot be written (No space left on device)")
    assert list(folder.iterdir()) == []


def test_below_the_gate_nothing_is_written(checkpoint: Path, folder: Path) -> None:
    fails_cleanly(run("compile", checkpoint, "--triton", "m", "--min-snr", "500"), 1, "parity failed")
    assert list(folder.iterdir()) == []

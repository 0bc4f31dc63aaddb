"""What each contract takes and refuses, in both formats."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from contract_models import FLOAT, model_of, node, save, save_as_ort
from onnx import TensorProto, helper, numpy_helper

from onnx_demucs_compiler.contracts import CONTRACTS, lint, minimal, official, web
from onnx_demucs_compiler.contracts.kernels import runtime
from onnx_demucs_compiler.contracts.openkara import INPUTS, KEYS, OUTPUTS
from onnx_demucs_compiler.contracts.reading import read_artifact
from onnx_demucs_compiler.contracts.web import most_alive, providers
from onnx_demucs_compiler.engines import ENGINES
from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.ort import ort_format
from onnx_demucs_compiler.ort.conversion import LEVELS

STEMS = 4


def broken(model: onnx.ModelProto, contract: str, folder: Path) -> list[str]:
    found = lint(save(model, folder / "x.onnx"), [contract])[contract]
    return [str(finding) for finding in found if finding.breaks]


def notes(path: Path, contract: str) -> list[str]:
    return [str(finding) for finding in lint(path, [contract])[contract] if not finding.breaks]


@pytest.mark.parametrize("contract", ["official", "web"])
def test_a_plain_graph_keeps_it(contract: str, tmp_path: Path) -> None:
    assert broken(model_of(), contract, tmp_path) == []


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (model_of(opset=21, ir=10), "opset 21 needs ONNX Runtime >= 1.18.1; the contract is 1.16.3"),
        (model_of(ir=10), "IR version 10 needs ONNX Runtime >= 1.18.1"),
        (model_of(ir=99), "IR version 99 is newer than ONNX Runtime"),
        (model_of(opset=99), "opset 99 is newer than ONNX Runtime"),
        (model_of(opset=6), "opset 6 is older than 7"),
        (model_of(node("X", domain="com.microsoft"), com_microsoft=1),
         "com.microsoft;1;X is registered by no release of ONNX Runtime (1: the X)"),
        (model_of(node("X", domain="acme"), acme=3), "acme;3;X is registered by no release of ONNX Runtime, "
                                                      "which has no operator of acme (1: the X)"),
        (model_of(node("Conv", domain="com.microsoft.nchwc"), com_microsoft_nchwc=1),
         "com.microsoft.nchwc;1;Conv is made for one kind of processor"),
        (model_of(node("Gelu"), opset=20, ir=9), "opset 20 needs ONNX Runtime >= 1.17.3"),
        (model_of(node("GatedAdd", domain="com.microsoft"), com_microsoft=1),
         "com.microsoft;1;GatedAdd needs ONNX Runtime >= 1.31.1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_breaks_official(model: onnx.ModelProto, message: str, tmp_path: Path) -> None:
    assert any(line.startswith(message) for line in broken(model, "official", tmp_path))


def test_nodes_are_counted_and_some_are_named(tmp_path: Path) -> None:
    chain = [helper.make_node("X", [before], [after], name=f"x{before}", domain="acme")
             for before, after in zip("acdef", "cdefb", strict=True)]  # fmt: skip
    [line] = broken(model_of(*chain, acme=1), "official", tmp_path)
    assert line.endswith("(5: xa, xc, xd, …)")


def test_functions_count_as_what_they_are_made_of(tmp_path: Path) -> None:
    """HardSwish had no kernel of its own in older packages, and runs there."""
    assert broken(model_of(node("MeanVarianceNormalization"), shape=(1, 2, 3, 4)), "official", tmp_path) == []


def test_weights_in_another_file(tmp_path: Path) -> None:
    model = model_of()
    onnx.save(model, tmp_path / "x.onnx", save_as_external_data=True, size_threshold=0, location="x.data")
    for contract in CONTRACTS.keys() - ENGINES - {"web"}:
        found = lint(tmp_path / "x.onnx", [contract])[contract]
        told = [finding for finding in found if "weights lie in another file, such as weight" in str(finding)]
        assert [finding.breaks for finding in told] == [contract != "portable"]
    assert notes(tmp_path / "x.onnx", "web") == [
        "weights lie in x.data: give it to the session as externalData"
    ]


@pytest.mark.parametrize(("ends", "lines"), [(7, 0), (8, 1)])
def test_portable_files_have_few_ends(ends: int, lines: int, tmp_path: Path) -> None:
    pieces = [f"piece{number}" for number in range(ends)]
    cut = node("Split", outputs=pieces, axis=1, num_outputs=ends)
    joined = node("Concat", inputs=pieces, axis=1)
    found = broken(model_of(cut, joined, shape=(1, ends)), "portable", tmp_path)
    assert found == ["a Split or Concat of more than 7 ends, which WebGPU does not run; cut in a tree "
                     "(2: the Split, the Concat)"][:lines]  # fmt: skip


def test_what_onnxruntime_makes_for_this_processor_is_refused(tmp_path: Path) -> None:
    """Its own optimiser, told to save, is how nchwc gets into files; no conversion of ours tells it to."""
    kernel = numpy_helper.from_array(np.ones((32, 16, 3, 3), np.float32), "kernel")
    convolve = helper.make_node("Conv", ["a", "kernel"], ["b"], name="convolve")
    model = model_of(convolve, shape=(1, 16, 8, 8))
    model.graph.initializer.append(kernel)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("b", FLOAT, (1, 32, 6, 6)))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(
        save(model, tmp_path / "plain.onnx"), options, providers=["CPUExecutionProvider"]
    )
    if "com.microsoft.nchwc" not in read_artifact(tmp_path / "optimised.onnx").opsets:
        pytest.skip("onnxruntime blocks no convolutions on this processor")
    for contract in ("official", "minimal", "openkara", "web"):
        found = lint(tmp_path / "optimised.onnx", [contract])[contract]
        assert any(finding.breaks and "com.microsoft.nchwc" in finding.what for finding in found)
    for level in LEVELS:
        converted = tmp_path / f"{level}.ort"
        converted.write_bytes(ort_format((tmp_path / "plain.onnx").read_bytes(), level))
        assert lint(converted, ["official", "minimal"]) == {"official": (), "minimal": ()}


def test_minimal_takes_ort_format(tmp_path: Path) -> None:
    path = save(model_of(), tmp_path / "x.onnx")
    assert any("reads ORT format only" in str(finding) for finding in lint(path, ["minimal"])["minimal"])
    ort = save_as_ort(path, tmp_path / "x.ort")
    assert lint(ort, ["minimal", "official"]) == {"minimal": (), "official": ()}


def test_ort_format_is_read_as_onnx_is(tmp_path: Path) -> None:
    model = model_of(
        node("Add", ["a", "weight"], ["sum"]), helper.make_node("Relu", ["sum"], ["b"]), shape=("batch", 8)
    )
    helper.set_model_props(model, {"precision": "fp32"})
    onnx_path = save(model, tmp_path / "x.onnx")
    one, other = read_artifact(onnx_path), read_artifact(save_as_ort(onnx_path, tmp_path / "x.ort"))
    assert (one.format, other.format) == ("onnx", "ort")
    assert [item.operator for item in one.nodes] == [item.operator for item in other.nodes]
    assert one.nodes[0] == other.nodes[0]
    for fact in ("ir_version", "inputs", "outputs", "weights", "metadata"):
        assert getattr(one, fact) == getattr(other, fact)


@pytest.mark.parametrize(
    ("kind", "breaks"), [(TensorProto.DOUBLE, True), (TensorProto.FLOAT16, False), (TensorProto.INT64, False)]
)
def test_types_of_a_minimal_build(kind: int, breaks: bool, tmp_path: Path) -> None:
    lines = broken(model_of(node("Identity"), kind=kind), "minimal", tmp_path)
    assert any("is none of" in line for line in lines) == breaks


def test_a_minimal_build_is_told_of_contrib_operators(tmp_path: Path) -> None:
    path = save(model_of(node("FastGelu", domain="com.microsoft"), com_microsoft=1), tmp_path / "x.onnx")
    assert notes(path, "minimal") == ["com.microsoft: build without --disable_contrib_ops (1: the FastGelu)"]


def openkara() -> onnx.ModelProto:
    shapes = {name: [STEMS if size == "stems" else size for size in shape] for name, shape in OUTPUTS.items()}
    graph = helper.make_graph(
        [helper.make_node("Identity", [name], [out]) for name, out in zip(INPUTS, OUTPUTS, strict=True)],
        "graph",
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in INPUTS.items()],
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in shapes.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    facts = dict.fromkeys(KEYS, "told") | {"spectral_contract": "v1", "stem_profile": "a,b,c,d"}
    helper.set_model_props(model, {f"openkara.{key}": value for key, value in facts.items()})
    return model


def test_openkara_keeps_it(tmp_path: Path) -> None:
    assert broken(openkara(), "openkara", tmp_path) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: model.graph.input.reverse(), "inputs are mix, spectral; the contract has"),
        (lambda model: setattr(model.graph.output[1], "name", "out"), "outputs are spectral_out, out"),
        (lambda model: setattr(model.graph.input[1].type.tensor_type.shape.dim[2], "dim_value", 44100),
         "input mix is [1, 2, 44100]; the contract has [1, 2, 343980]"),
        (lambda model: setattr(model.graph.input[0].type.tensor_type, "elem_type", TensorProto.FLOAT16),
         "input spectral is of float16"),
        (lambda model: model.metadata_props.pop(0), "the metadata lacks openkara.model_cache_key"),
        (lambda model: setattr(model.metadata_props[2], "value", "v2"), "openkara.spectral_contract is v2"),
        (lambda model: setattr(model.metadata_props[4], "value", "a,b"),
         "openkara.stem_profile names 2 stems; the outputs have 4"),
    ],
    ids=["order", "name", "shape", "type", "key", "version", "stems"],
)  # fmt: skip
def test_what_breaks_openkara(change: object, message: str, tmp_path: Path) -> None:
    model = openkara()
    change(model)
    assert any(line.startswith(message) for line in broken(model, "openkara", tmp_path))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (model_of(node("ScatterND", ["a", "places", "a"])), "ai.onnx;18;ScatterND has no WebGPU kernel: in "
         "onnxruntime-web from 1.22.0 on; the contract is 1.20.1 (1: the ScatterND)"),
        (model_of(node("STFT")), "ai.onnx;17;STFT has no WebGPU kernel: none in onnxruntime-web; none in "
         "onnxruntime-web/webgpu"),
        (model_of(node("Loop", ["", "", "a"])), "ai.onnx;16;Loop has no WebGPU kernel"),
        (model_of(opset=23, ir=11), "opset 23 needs onnxruntime-web >= 1.23.2"),
        (model_of(node("Attention", ["a", "a", "a"]), opset=23, ir=11),
         "ai.onnx;23;Attention has no WebGPU kernel"),
        (model_of(node("Softsign")), "ai.onnx;1;Softsign has no WebGPU kernel"),
        (model_of(node("MultiHeadAttention", ["a", "a", "a"], domain="com.microsoft", num_heads=1),
                  com_microsoft=1),
         "com.microsoft.MultiHeadAttention is wrong (9.6 dB) in onnxruntime-web/webgpu 1.30.0; write it as "
         "MatMul and Softmax, as --target web does (1: the MultiHeadAttention)"),
        (model_of(node("Conv", ["a", "weight"])), "a convolution without dilations or strides"),
        (model_of(node("ConvTranspose", ["a", "weight"], strides=[1])), "a convolution without dilations"),
        (model_of(node("Shape", outputs=["size"]), node("ConstantOfShape", ["size"]), shape=("n", 8)),
         "ai.onnx;9;ConstantOfShape has no WebGPU kernel"),
        (model_of(shape=(2**25 + 1,)), "tensors over 128 MiB, the largest binding that every WebGPU device"),
    ],
    ids=["ScatterND", "STFT", "Loop", "opset", "Attention", "Softsign", "MultiHeadAttention", "Conv",
         "ConvTranspose", "ConstantOfShape", "large"],
)  # fmt: skip
def test_what_breaks_web(model: onnx.ModelProto, message: str, tmp_path: Path) -> None:
    assert any(line.startswith(message) for line in broken(model, "web", tmp_path))


@pytest.mark.parametrize(
    "model",
    [
        model_of(node("Identity")),
        model_of(node("Mish")),
        model_of(node("Conv", ["a", "weight"], dilations=[1], strides=[1])),
        model_of(node("ConstantOfShape", ["size"], ["zeros"]), node("Add", ["a", "zeros"])),
        model_of(node("Shape", outputs=["size"]), node("ConstantOfShape", ["size"])),
    ],
    ids=["Identity", "a function of others", "Conv", "ConstantOfShape", "ConstantOfShape of Shape"],
)
def test_what_keeps_web(model: onnx.ModelProto, tmp_path: Path) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 8]), "size"))
    assert broken(model, "web", tmp_path) == []
    assert providers(read_artifact(tmp_path / "x.onnx")) == ("webgpu", "wasm")


@pytest.mark.parametrize(("ends", "lines"), [(7, 0), (8, 2)])
def test_the_ends_that_web_takes_in_either_format(ends: int, lines: int, tmp_path: Path) -> None:
    """The sizes of the pieces are no tensor on the GPU."""
    pieces = [f"piece{number}" for number in range(ends)]
    model = model_of(node("Split", ["a", "sizes"], pieces, axis=1), node("Concat", pieces, axis=1),
                     shape=(1, ends))  # fmt: skip
    model.graph.initializer.append(numpy_helper.from_array(np.ones(ends, np.int64), "sizes"))
    onnx_path = save(model, tmp_path / "x.onnx")
    for path in (onnx_path, save_as_ort(onnx_path, tmp_path / "x.ort")):
        crowded = [found for found in lint(path, ["web"])["web"] if "buffers to a shader" in found.what]
        assert [node for found in crowded for node in found.nodes] == ["the Split", "the Concat"][:lines]
        assert providers(read_artifact(path)) == (("wasm",) if lines else ("webgpu", "wasm"))


def test_eight_bits_are_for_web_assembly(tmp_path: Path) -> None:
    model = model_of(
        node("DynamicQuantizeLinear", outputs=["bytes", "scale", "zero"]),
        node("MatMulInteger", ["bytes", "square"], ["product"]),
        node("Cast", ["product"], to=FLOAT),
    )
    model.graph.initializer.append(numpy_helper.from_array(np.ones((8, 8), np.int8), "square"))
    path = save(model, tmp_path / "x.onnx")
    assert broken(model, "web", tmp_path) == []
    [told] = notes(path, "web")
    assert told.startswith(
        "arithmetic of eight bits, which no WebGPU provider has: for WebAssembly alone (2:"
    )
    assert providers(read_artifact(path)) == ("wasm",)


def test_whole_numbers_on_the_cpu_are_noted(tmp_path: Path) -> None:
    model = model_of(node("NonZero"), kind=TensorProto.INT64)
    assert broken(model, "web", tmp_path) == []
    assert notes(tmp_path / "x.onnx", "web")[0].startswith("whole numbers, such as shapes")


def test_memory_of_web_assembly(tmp_path: Path) -> None:
    """Three tensors of 2 GiB, of which no more than two are needed at once."""
    size = 2**29
    nodes = [helper.make_node("Relu", [before], [after]) for before, after in ("ax", "xy", "yz", "zb")]
    model = model_of(*nodes, shape=(1,))
    model.graph.value_info.extend(helper.make_tensor_value_info(name, FLOAT, (size,)) for name in "xyz")
    assert any("4.0 GiB of tensors alive at once" in line for line in broken(model, "web", tmp_path))
    assert most_alive(read_artifact(tmp_path / "x.onnx")) == 2 * 4 * size + 2 * 4


def test_what_is_no_model(tmp_path: Path) -> None:
    for content in (b"", b"not a model" * 9, b"0000ORTM" + b"\xff" * 64):
        (tmp_path / "x.onnx").write_bytes(content)
        with pytest.raises(CompilerError, match="is not a model in ONNX or ORT format"):
            lint(tmp_path / "x.onnx", ["official"])
    with pytest.raises(CompilerError, match="no such file"):
        lint(tmp_path / "absent.onnx", ["official"])
    with pytest.raises(UsageError, match="unknown contract x; known: portable, official, minimal"):
        lint(tmp_path / "x.onnx", ["x"])


def test_contracts_know_no_model() -> None:
    """They look at files, and load neither torch nor demucs."""
    code = "import sys, onnx_demucs_compiler.contracts; print({'torch', 'demucs'} & set(sys.modules))"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout == "set()\n"


def test_the_document_names_the_releases() -> None:
    text = (Path(__file__).parents[2] / "docs" / "deployment" / "contracts.md").read_text(encoding="utf-8")
    assert f"every CPU package of ONNX Runtime from {official.FLOOR} on" in text
    assert f"kernels of ONNX Runtime {minimal.RELEASE.rpartition('.')[0]};" in text
    assert f"onnxruntime-web from {web.FLOOR} on" in text
    for name, contract in (("official", official.FLOOR), ("official", minimal.RELEASE), ("jsep", web.FLOOR)):
        assert contract in runtime(name).limits
    assert runtime("jsep").since["ai.onnx"]["ScatterND"]["18"] == "1.22.0"
    assert runtime("jsep").since["ai.onnx"]["DFT"]["20"] == "1.30.0"

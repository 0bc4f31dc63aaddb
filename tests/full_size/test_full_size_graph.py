"""The artifacts of the real architectures: what is in the file, and how faithful it is."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from full_size_examples import Artifact, compiled
from onnx import TensorProto, numpy_helper
from probed_forms import unprobed

from onnx_demucs_compiler import CompiledModel, compile
from onnx_demucs_compiler.runtime.session import create_session

pytestmark = pytest.mark.full_size

STEMS = {"htdemucs": 4, "htdemucs_6s": 6}
SEGMENT = 343980
MAX_FILE_BYTES = 172.5e6
MAX_DFT_BYTES = 0.4e6
# PyTorch's own float32 keeps 116 dB of the one and 114 dB of the other.
MIN_SNR_DB = {"htdemucs": 110, "htdemucs_6s": 105}
SILENT = 1e-6
# Five layers, each over itself and over the other branch in turn, in two branches.
ATTENTIONS = 10

DFT_RULES = ("stft-as-matmul", "istft-as-matmul")

# Slow, inexact, missing from runtimes, or a sign that a constant is computed anew in every run.
UNWANTED = {"STFT", "DFT", "ScatterND", "Sin", "Cos", "InstanceNormalization"}


@pytest.fixture(scope="module")
def htdemucs_6s(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return compiled("htdemucs_6s", tmp_path_factory.mktemp("htdemucs_6s"))


@pytest.fixture(params=["htdemucs", "htdemucs_6s"])
def artifact(request: pytest.FixtureRequest) -> Artifact:
    found: Artifact = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def model(artifact: Artifact) -> onnx.ModelProto:
    """The model as it lies on disk."""
    return onnx.load(artifact.path, load_external_data=False)


def test_interface(artifact: Artifact, model: onnx.ModelProto) -> None:
    ports = [
        (
            port.name,
            port.type.tensor_type.elem_type,
            [size.dim_value for size in port.type.tensor_type.shape.dim],
        )
        for port in (*model.graph.input, *model.graph.output)
    ]
    stems = STEMS[artifact.path.stem]
    assert ports == [
        ("mix", TensorProto.FLOAT, [1, 2, SEGMENT]),
        ("stems", TensorProto.FLOAT, [1, stems, 2, SEGMENT]),
    ]


def test_one_file_of_the_weights_and_little_else(artifact: Artifact, model: onnx.ModelProto) -> None:
    assert [path.name for path in artifact.path.parent.iterdir()] == [artifact.path.name]
    assert artifact.path.stat().st_size < MAX_FILE_BYTES
    assert [item.name for item in model.graph.initializer if item.external_data] == []


def test_valid_for_old_runtimes(artifact: Artifact, model: onnx.ModelProto) -> None:
    onnx.checker.check_model(str(artifact.path), full_check=True)
    assert [(entry.domain, entry.version <= 18) for entry in model.opset_import] == [("", True)]
    assert model.ir_version <= 8


def test_plain_operators_only(model: onnx.ModelProto) -> None:
    assert not model.functions
    assert {node.domain for node in model.graph.node} == {""}
    found = {node.op_type for node in model.graph.node}
    assert not found & UNWANTED
    assert not {op for op in found if op.startswith("Random")}
    assert [
        node.name for node in model.graph.node if any(item.HasField("g") for item in node.attribute)
    ] == []


def test_nothing_is_complex(model: onnx.ModelProto) -> None:
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    values = {value.name: value.type.tensor_type.elem_type for value in inferred.graph.value_info}
    assert {name for node in model.graph.node for name in node.output} <= {*values, "stems"}
    stored = {item.name: item.data_type for item in model.graph.initializer}
    complex_types = {TensorProto.COMPLEX64, TensorProto.COMPLEX128}
    assert {name for name, kind in (values | stored).items() if kind in complex_types} == set()


def test_dft_constants_are_small(model: onnx.ModelProto) -> None:
    made = {
        rule: [node for node in model.graph.node if node.name.startswith(f"{rule}/")] for rule in DFT_RULES
    }
    for nodes in made.values():
        assert [node.op_type for node in nodes].count("MatMul") == 3
    read = {name for nodes in made.values() for node in nodes for name in node.input}
    sizes = {
        item.name: numpy_helper.to_array(item).nbytes for item in model.graph.initializer if item.name in read
    }
    # Twiddles are 64 by 2 by 64 by 2 numbers; what a runtime multiplies them with is as small.
    assert max(sizes.values()) == 4 * 64 * 2 * 64 * 2
    assert sum(sizes.values()) < MAX_DFT_BYTES


def test_fidelity(artifact: Artifact) -> None:
    measured = {(item.signal, item.output): item for item in artifact.compiled.report.fidelity}
    wanted = {(signal, stem) for signal in ("noise", "song", "silence") for stem in artifact.source.sources}
    assert set(measured) == wanted
    reached = {key: round(item.snr_db, 1) for key, item in measured.items() if key[0] != "silence"}
    assert {key: snr for key, snr in reached.items() if not snr >= MIN_SNR_DB[artifact.path.stem]} == {}


def test_silence_gives_silence(artifact: Artifact) -> None:
    session = create_session(artifact.path)
    [stems] = session.run(None, {"mix": np.zeros((1, 2, SEGMENT), np.float32)})
    assert np.abs(stems).max() < SILENT


def test_golden(htdemucs: Artifact, check_golden: Callable[[str, CompiledModel], None]) -> None:
    check_golden("htdemucs-portable", htdemucs.compiled)
    assert unprobed(htdemucs.compiled.model) == set()


def test_golden_for_onnxruntime(
    htdemucs: Artifact, check_golden: Callable[[str, CompiledModel], None]
) -> None:
    fused = compile(htdemucs.source, target="ort", verify=False)
    operators = fused.report.operators
    assert (operators["MultiHeadAttention"], operators.get("Softmax", 0)) == (ATTENTIONS, 0)
    check_golden("htdemucs-ort", fused)

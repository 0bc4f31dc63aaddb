"""A folder for ort-builder, or for ONNX Runtime's own build."""

from __future__ import annotations

from pathlib import Path
from string import Template

from onnx_demucs_compiler.artifact.checksum import checksum_line
from onnx_demucs_compiler.artifact.writing import check_replaceable_folder, write_folder
from onnx_demucs_compiler.ort.conversion import LEVEL, STYLE, ort_format
from onnx_demucs_compiler.ort.kernels import kept
from onnx_demucs_compiler.ort.names import config_path, ort_path
from onnx_demucs_compiler.ort.ops_config import ops_config

MODEL = Path("model.onnx")
SUMS = Path("SHA256SUMS")
README = Path("README.md")
FILES = (MODEL, ort_path(MODEL), config_path(MODEL), README, SUMS)

_README = Template("""\
# $name

| file | |
|---|---|
| `model.onnx` | the model, for every ONNX Runtime |
| `model.ort` | the same graph in ORT format, for minimal builds (optimisation level $level, style $style) |
| `$config` | the operators and types that `model.ort` needs, and no others |
| `SHA256SUMS` | `sha256sum --check SHA256SUMS` |

In a checkout of ort-builder these files go into its root; leave out its conversion step, which would replace
`model.ort` and the config by those of another optimisation level. In a checkout of ONNX Runtime itself, with
this folder as `BUNDLE`:

```sh
python tools/ci_build/build.py --build_dir build --config MinSizeRel --update --build --parallel \\
    --build_shared_lib --minimal_build --skip_tests \\
    --include_ops_by_config "$$BUNDLE/$config" --enable_reduced_operator_type_support \\
    $without --disable_rtti --disable_exceptions
```

`--disable_exceptions` needs `--minimal_build`, which reads `model.ort` and no `.onnx`.$contrib
""")

_CONTRIB = """
The model has operators of `com.microsoft`, so the build must not have `--disable_contrib_ops`."""


def check_bundle(folder: Path, *, force: bool) -> None:
    """Fail early if a bundle cannot be written.

    Raises:
        UsageError: something is there, and is not to be replaced, or is no bundle.
        CompilerError: the folder that it goes into is not there.
    """
    refusal = "is not a bundle, and would be replaced by one"
    check_replaceable_folder(folder, (path.name for path in FILES), refusal, force=force)


def write_bundle(folder: Path, name: str, model: bytes, *, force: bool = False) -> Path:
    """Write a bundle, whole or not at all.

    It holds a model, its ORT format, its config, a README and checksums.

    Args:
        folder: what appears once it is complete.
        name: what the model is called.
        model: content of the ``.onnx`` file.
        force: replace an earlier bundle.

    Returns:
        The path of the ``.onnx`` file in it.

    Raises:
        UsageError: something is there, and is not to be replaced, or is no bundle.
        CompilerError: it cannot be written, or ONNX Runtime cannot convert the model.
    """
    check_bundle(folder, force=force)
    write_folder(folder, {str(path): content for path, content in bundle(name, model).items()})
    return folder / MODEL


def bundle(name: str, model: bytes) -> dict[Path, bytes]:
    """The files of a bundle, by their names."""
    converted = ort_format(model)
    config = ops_config([converted])
    files = {
        MODEL: model,
        ort_path(MODEL): converted,
        config_path(MODEL): config,
        README: _readme(name, config).encode(),
    }
    sums = "".join(checksum_line(str(path), data) for path, data in files.items())
    return files | {SUMS: sums.encode()}


def _readme(name: str, config: bytes) -> str:
    contrib = any(operator.domain == "com.microsoft" for operator in kept(config).operators)
    return _README.substitute(
        name=name,
        level=LEVEL,
        style=STYLE,
        config=config_path(MODEL),
        without="--disable_ml_ops" if contrib else "--disable_contrib_ops --disable_ml_ops",
        contrib=_CONTRIB if contrib else "",
    )

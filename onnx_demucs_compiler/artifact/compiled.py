"""A compiled model: the graph, its metadata and its report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from onnx_demucs_compiler.artifact.external import split, weights_path
from onnx_demucs_compiler.artifact.hollow import HollowModel
from onnx_demucs_compiler.artifact.writing import write_together
from onnx_demucs_compiler.targets import target_named

if TYPE_CHECKING:
    import os

    import onnx

    from onnx_demucs_compiler.artifact.metadata import ArtifactMetadata
    from onnx_demucs_compiler.report import Report


@dataclass(frozen=True)
class CompiledModel:
    """A compiled model.

    Attributes:
        model: the ONNX model.
        metadata: what it says of itself.
        report: how it came about.
    """

    model: onnx.ModelProto
    metadata: ArtifactMetadata
    report: Report

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        external_data: bool | None = None,
        ort_format: bool = False,
        ops_config: bool = False,
    ) -> Path:
        """Write the model to a file, replacing an existing one once complete.

        Args:
            path: the ``.onnx`` file.
            external_data: write the weights to a file of their own, under the same name with ``.data`` added;
                when None for the target ``web`` alone.
            ort_format: write the model in ORT format as well, under the same name with ``.ort``; weights and
                all.
            ops_config: write the reduced-operator config of the ORT-format model as well, under the same
                name with ``.required_operators_and_types.config``.

        Returns:
            The path of the ``.onnx`` file.

        Raises:
            CompilerError: a file cannot be written, or ONNX Runtime cannot convert the model.
        """
        target = Path(path)
        write_together(
            self.files(target, external_data=external_data, ort_format=ort_format, ops_config=ops_config)
        )
        return target

    def files(
        self,
        path: Path,
        *,
        external_data: bool | None = None,
        ort_format: bool = False,
        ops_config: bool = False,
    ) -> dict[Path, bytes]:
        """The files that :meth:`save` writes, complete and not yet written.

        Weights come before their graph.

        Raises:
            CompilerError: ONNX Runtime cannot convert the model.
        """
        from onnx_demucs_compiler.ort import companions

        data = serialized(self.model)
        files = {path: data}
        apart = target_named(self.metadata.target).external_data if external_data is None else external_data
        if apart:
            weights = weights_path(path)
            graph, content = split(self.model, weights.name)
            files = {weights: content, path: serialized(graph)}
        return files | companions(path, data, ort_format=ort_format, ops_config=ops_config)

    def save_bundle(self, folder: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Write a folder for a reduced build of ONNX Runtime.

        It holds the model, its ORT format, its config, a README and checksums.

        Args:
            folder: what appears once it is complete.
            force: replace an earlier bundle.

        Returns:
            The path of the ``.onnx`` file in it.

        Raises:
            UsageError: something is there, and is not to be replaced, or is no bundle.
            CompilerError: it cannot be written, or ONNX Runtime cannot convert the model.
        """
        from onnx_demucs_compiler.ort import write_bundle

        return write_bundle(Path(folder), self.model.graph.name, serialized(self.model), force=force)

    def save_triton(self, folder: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Write a model of Triton's model repository: its config and the graph.

        With an open batch the server puts requests together; other graphs it runs one by one.

        Args:
            folder: ``REPOSITORY/NAME``, which appears once it is complete; and REPOSITORY, if it is missing.
            force: replace an earlier one.

        Returns:
            The path of the ``.onnx`` file in it.

        Raises:
            UsageError: something is there, and is not to be replaced, or is more than what is written.
            CompilerError: it cannot be written, or Triton has no type for an input or output.
        """
        from onnx_demucs_compiler.serving.triton import write_triton

        return write_triton(Path(folder), self.model, serialized(self.model), force=force)


def serialized(model: onnx.ModelProto) -> bytes:
    """The model's bytes, in protobuf's deterministic order."""
    return HollowModel(model, {}).serialized()  # protobuf itself would hold two copies for a while

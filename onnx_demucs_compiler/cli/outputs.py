"""What a compile writes: looked at before the work begins, and written together once it is done."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from onnx_demucs_compiler.errors import UsageError

if TYPE_CHECKING:
    from onnx_demucs_compiler.artifact import CompiledModel


@dataclass(frozen=True)
class Outputs:
    """The files of one compile.

    Attributes:
        model: the ``.onnx`` file; with a bundle the one in it.
        bundle: the folder to write instead.
        ort_format: whether the model in ORT format goes beside it.
        ops_config: whether its reduced-operator config does.
        sha256: whether its checksum does.
        report: where the report goes, if anywhere.
        sbom: where the bill of materials goes, if anywhere.
    """

    model: Path
    bundle: Path | None = None
    ort_format: bool = False
    ops_config: bool = False
    sha256: bool = False
    report: Path | None = None
    sbom: Path | None = None

    def check(self, read: Sequence[Path | None], *, force: bool) -> None:
        """See to it early that all of it can be written, and replaces nothing that it must not.

        Args:
            read: what the command reads.
            force: whether files that exist may be replaced.

        Raises:
            UsageError: something exists, is read or is named twice, or a package is missing.
            CompilerError: a folder is missing or read-only.
        """
        from onnx_demucs_compiler.artifact import check_replaceable, check_writable
        from onnx_demucs_compiler.ort.bundle import check_bundle
        from onnx_demucs_compiler.sbom import check_sbom_support

        beside = self._beside()
        written = [file for file in (*beside, self.bundle, self.report, self.sbom) if file]
        _check_distinct(written, [file for file in read if file is not None and file.is_file()])
        for file in written:
            if file != self.bundle:
                check_writable(file)
        if self.sbom:
            check_sbom_support()
        for file in beside:
            check_replaceable(file, force=force)
        if self.bundle:
            check_bundle(self.bundle, force=force)

    def write(self, compiled: "CompiledModel", *, force: bool) -> None:
        """Write all of it.

        Raises:
            CompilerError: a file cannot be written, or ONNX Runtime cannot convert the model.
        """
        from onnx_demucs_compiler.artifact import write_together
        from onnx_demucs_compiler.checksum import checksum_line, checksum_path
        from onnx_demucs_compiler.sbom import bill_of_materials

        files: dict[Path, bytes] = {}
        if self.bundle:
            data = compiled.save_bundle(self.bundle, force=force).read_bytes()
        else:
            files = compiled.files(self.model, ort_format=self.ort_format, ops_config=self.ops_config)
            data = files[self.model]
        if self.sha256:
            files[checksum_path(self.model)] = checksum_line(self.model.name, data).encode()
        if self.report:
            files[self.report] = compiled.report.to_json().encode()
        if self.sbom:
            files[self.sbom] = bill_of_materials(self.model.name, data, compiled.metadata).encode()
        write_together(files)

    def _beside(self) -> list[Path]:
        """The model's file and those named after it."""
        from onnx_demucs_compiler.checksum import checksum_path
        from onnx_demucs_compiler.ort.companions import companion_paths

        if self.bundle:
            return []
        named_after = companion_paths(self.model, ort_format=self.ort_format, ops_config=self.ops_config)
        return [self.model, *named_after, *([checksum_path(self.model)] if self.sha256 else [])]


def _check_distinct(written: Sequence[Path], read: Sequence[Path]) -> None:
    """No output may replace an input or another output."""
    for index, output in enumerate(written):
        for other in (*read, *written[:index]):
            if output.resolve() == other.resolve():
                raise UsageError(f"{output} would replace {other}; give another name")

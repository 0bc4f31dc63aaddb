"""The files of a compile: checked beforehand, written together at the end."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from onnx_demucs_compiler.errors import UsageError

if TYPE_CHECKING:
    from onnx_demucs_compiler.artifact.compiled import CompiledModel
    from onnx_demucs_compiler.artifact.emitted import EmittedModel

REPORTS = (".json", ".html")


@dataclass(frozen=True)
class Outputs:
    """The files of one compile.

    Attributes:
        model: the ``.onnx`` file, with a bundle or for Triton the one in it; or what is emitted.
        bundle: the folder to write instead.
        triton: the folder in a model repository of Triton to write instead.
        external_data: whether its weights go into a file of their own.
        ort_format: whether the model in ORT format goes beside it.
        ops_config: whether its reduced-operator config does.
        sha256: whether its checksum does.
        report: where the report goes, if anywhere: JSON, or a page of HTML.
        sbom: where the bill of materials goes, if anywhere.
    """

    model: Path
    bundle: Path | None = None
    triton: Path | None = None
    external_data: bool = False
    ort_format: bool = False
    ops_config: bool = False
    sha256: bool = False
    report: Path | None = None
    sbom: Path | None = None

    @property
    def is_folder(self) -> bool:
        """True if the model is written as a folder."""
        return self.model.suffix.lower() == ".mlpackage"

    def check(self, read: Sequence[Path | None], *, force: bool) -> None:
        """Fail early if a file cannot be written or replaced.

        Args:
            read: what the command reads.
            force: whether files that exist may be replaced.

        Raises:
            UsageError: something exists, is read or is named twice, the report is of no known kind, or a
                package is missing.
            CompilerError: a folder is missing or read-only.
        """
        from onnx_demucs_compiler.artifact.sbom import check_sbom_support
        from onnx_demucs_compiler.artifact.writing import check_folder, check_replaceable, check_writable
        from onnx_demucs_compiler.emit.mlpackage import MANIFEST
        from onnx_demucs_compiler.ort.bundle import check_bundle
        from onnx_demucs_compiler.serving.triton import check_triton

        beside = self._beside()
        folders = [folder for folder in (self.bundle, self.triton) if folder]
        written = [file for file in (*beside, *folders, self.report, self.sbom) if file]
        _check_distinct(written, [file for file in read if file is not None and file.is_file()])
        if self.is_folder and (self.sha256 or self.sbom):
            raise UsageError(
                f"{self.model} is a folder, and --sha256 and --sbom are of a file; leave them out"
            )
        for file in written:
            if file == self.model and self.is_folder:
                check_folder(file, marked_by=MANIFEST)
            elif file not in folders:
                check_writable(file)
        if self.sbom:
            check_sbom_support()
        for file in beside:
            check_replaceable(file, force=force)
        if self.bundle:
            check_bundle(self.bundle, force=force)
        if self.triton:
            check_triton(self.triton, force=force)
        if self.report and self.report.suffix.lower() not in REPORTS:
            raise UsageError(f"{self.report}: a report is a .json or a .html file; give one of these names")

    def write(self, compiled: "CompiledModel | EmittedModel", *, force: bool) -> None:
        """Write all of it.

        Raises:
            CompilerError: a file cannot be written, or ONNX Runtime cannot convert the model.
        """
        from onnx_demucs_compiler.artifact.checksum import checksum_line, checksum_path
        from onnx_demucs_compiler.artifact.emitted import EmittedModel
        from onnx_demucs_compiler.artifact.external import weights_path
        from onnx_demucs_compiler.artifact.sbom import bill_of_materials
        from onnx_demucs_compiler.artifact.writing import write_together

        files: dict[Path, bytes] = {}
        data = b""
        if isinstance(compiled, EmittedModel) and isinstance(compiled.content, bytes):
            data = compiled.content
            files[self.model] = data
        elif isinstance(compiled, EmittedModel):
            compiled.save(self.model)
        elif self.bundle:
            data = compiled.save_bundle(self.bundle, force=force).read_bytes()
        elif self.triton:
            data = compiled.save_triton(self.triton, force=force).read_bytes()
        else:
            files = compiled.files(
                self.model,
                external_data=self.external_data,
                ort_format=self.ort_format,
                ops_config=self.ops_config,
            )
            data = files[self.model]
        weights = files.get(weights_path(self.model))
        if self.sha256:
            summed = {self.model: data} | ({} if weights is None else {weights_path(self.model): weights})
            lines = [checksum_line(path.name, content) for path, content in summed.items()]
            files[checksum_path(self.model)] = "".join(lines).encode()
        if self.report:
            files[self.report] = self._report_of(compiled).encode()
        if self.sbom:
            bill = bill_of_materials(self.model.name, data, compiled.metadata, weights=weights)
            files[self.sbom] = bill.encode()
        write_together(files)

    def _report_of(self, compiled: "CompiledModel | EmittedModel") -> str:
        from onnx_demucs_compiler.observe.page import report_page

        as_page = self.report and self.report.suffix.lower() == ".html"
        return report_page(compiled.report) if as_page else compiled.report.to_json()

    def _beside(self) -> list[Path]:
        """The model's file and those named after it."""
        from onnx_demucs_compiler.artifact.checksum import checksum_path
        from onnx_demucs_compiler.artifact.external import weights_path
        from onnx_demucs_compiler.ort.companions import companion_paths

        if self.bundle or self.triton:
            return []
        named_after = companion_paths(self.model, ort_format=self.ort_format, ops_config=self.ops_config)
        also = ((weights_path(self.model), self.external_data), (checksum_path(self.model), self.sha256))
        return [self.model, *named_after, *(path for path, wanted in also if wanted)]


def _check_distinct(written: Sequence[Path], read: Sequence[Path]) -> None:
    """No output may replace an input or another output."""
    for index, output in enumerate(written):
        for other in (*read, *written[:index]):
            if output.resolve() == other.resolve():
                raise UsageError(f"{output} would replace {other}; give another name")

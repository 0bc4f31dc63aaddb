"""A bill of materials for an artifact, in CycloneDX.

Everything in it follows from the file's bytes and its metadata, so that the same artifact has the same bill.
"""

from __future__ import annotations

import hashlib
import importlib.util
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

from onnx_demucs_compiler.artifact.metadata import PREFIX
from onnx_demucs_compiler.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cyclonedx.model.component import Component
    from cyclonedx.model.license import License

    from onnx_demucs_compiler.artifact.metadata import ArtifactMetadata

_PROPERTY = "onnx-demucs:"
_TOLD_ELSEWHERE = ("checkpoints", "license", "rules", "versions")


def check_sbom_support() -> None:
    """Fail early if a bill of materials cannot be made.

    Raises:
        UsageError: cyclonedx-python-lib is not installed.
    """
    if importlib.util.find_spec("cyclonedx") is None:
        raise UsageError(
            "a bill of materials needs cyclonedx-python-lib; "
            "run: python -m pip install 'onnx-demucs-compiler[sbom]'"
        )


def bill_of_materials(
    name: str, data: bytes, metadata: ArtifactMetadata, *, weights: bytes | None = None
) -> str:
    """The bill of materials of an artifact, as CycloneDX 1.6 in JSON.

    It names the licence that the metadata has for the weights; checkpoints say none.

    Args:
        name: the artifact's file name.
        data: its bytes.
        metadata: what it says of itself.
        weights: bytes of the file of weights beside it, where it has one.

    Raises:
        UsageError: cyclonedx-python-lib is not installed.
    """
    check_sbom_support()
    from cyclonedx.model.bom import Bom
    from cyclonedx.output.json import JsonV1Dot6

    digest = hashlib.sha256(data).hexdigest()
    bill = Bom(serial_number=uuid5(NAMESPACE_URL, f"urn:sha256:{digest} {name}"))
    bill.metadata.timestamp = None  # type: ignore[assignment]
    bill.metadata.component = _artifact(name, digest, metadata)
    if weights is not None:
        bill.components.add(_weights(f"{name}.data", weights))
    bill.metadata.tools.components.update(_packages(metadata.versions))
    return JsonV1Dot6(bill).output_as_string(indent=2) + "\n"


def _artifact(name: str, digest: str, metadata: ArtifactMetadata) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentType, Pedigree

    said = {key.removeprefix(PREFIX): value for key, value in metadata.to_props().items()}
    facts = [(key, value) for key, value in said.items() if value and key not in _TOLD_ELSEWHERE]
    facts += [("rule", rule) for rule in metadata.rules]
    return Component(
        name=name,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref="artifact",
        description=f"{metadata.model} compiled to ONNX",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
        licenses=_licence(metadata),
        pedigree=Pedigree(ancestors=_checkpoints(metadata), notes=metadata.provenance),
        properties=[Property(name=_PROPERTY + key, value=value) for key, value in facts],
    )


def _licence(metadata: ArtifactMetadata) -> list[License]:
    """That of the weights, if the user named one."""
    from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
    from cyclonedx.spdx import fixup_id, is_expression

    named = metadata.weights_license
    if not named:
        return []
    if identifier := fixup_id(named):
        return [DisjunctiveLicense(id=identifier)]
    return [LicenseExpression(named) if is_expression(named) else DisjunctiveLicense(name=named)]


def _weights(name: str, data: bytes) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    return Component(
        name=name,
        type=ComponentType.FILE,
        bom_ref="weights",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(data).hexdigest())],
    )


def _checkpoints(metadata: ArtifactMetadata) -> list[Component]:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    return [
        Component(
            name=name,
            type=ComponentType.MACHINE_LEARNING_MODEL,
            bom_ref=f"checkpoint:{name}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
        )
        for name, digest in metadata.checkpoints
    ]


def _packages(versions: Iterable[tuple[str, str]]) -> list[Component]:
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    packages = [(name, version, PackageURL("pypi", None, name, version)) for name, version in versions]
    return [
        Component(name=name, type=ComponentType.LIBRARY, version=version, purl=purl, bom_ref=purl.to_string())
        for name, version, purl in packages
    ]

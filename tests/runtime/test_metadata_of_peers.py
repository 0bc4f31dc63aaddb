"""Metadata that clients of other projects check, and the licence of weights."""

import json
from dataclasses import replace
from typing import Any

import pytest
from tiny_model import TinyModel

from onnx_demucs_compiler.artifact.metadata import ArtifactMetadata

SPECTRAL = replace(TinyModel().metadata, interface="spectral", n_fft=4096, segment=343980)


def test_a_spectral_file_says_what_unblend_checks() -> None:
    props = SPECTRAL.to_props()
    assert {key: props[key] for key in props if key.startswith(("stft_", "segment_", "external_"))} == {
        "segment_samples": "343980",
        "stft_n_fft": "4096",
        "stft_hop_length": "1024",
        "stft_win_length": "4096",
        "stft_window": "hann",
        "stft_normalized": "true",
        "external_normalization": "true",
    }
    assert "stft_n_fft" not in TinyModel().metadata.to_props()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ("fp32", "fp32", "static")),
        ({"precision": "fp16-weights"}, ("fp16", "fp32", "static")),
        ({"precision": "int8", "batch": "dynamic"}, ("int8", "fp32", "dynamic")),
    ],
)
def test_precision_and_batch_in_its_words(changes: dict[str, Any], told: tuple[str, ...]) -> None:
    props = replace(SPECTRAL, **changes).to_props()
    assert (props["weight_precision"], props["compute_precision"], props["batch_mode"]) == told


@pytest.mark.parametrize("licence", ["", "CC-BY-NC-4.0", "terms of the author"])
def test_the_licence_is_said_where_it_is_named(licence: str) -> None:
    metadata = replace(SPECTRAL, weights_license=licence)
    props = metadata.to_props()
    assert props.get("license", "") == licence
    assert ("license" in props) == bool(licence)
    assert ArtifactMetadata.from_props(props) == metadata


@pytest.mark.parametrize(
    ("licence", "said"),
    [
        ("", None),
        ("CC-BY-NC-4.0", [{"license": {"id": "CC-BY-NC-4.0"}}]),
        ("MIT OR CC0-1.0", [{"expression": "MIT OR CC0-1.0"}]),
        ("terms of the author", [{"license": {"name": "terms of the author"}}]),
    ],
)
def test_the_bill_of_materials_has_it(licence: str, said: Any) -> None:
    pytest.importorskip("cyclonedx")
    from onnx_demucs_compiler.artifact.sbom import bill_of_materials

    bill = json.loads(bill_of_materials("x.onnx", b"", replace(SPECTRAL, weights_license=licence)))
    found = bill["metadata"]["component"].get("licenses")
    for each in found or []:
        for entry in each.values():
            if isinstance(entry, dict):
                entry.pop("acknowledgement", None)
        each.pop("acknowledgement", None)
    assert found == said

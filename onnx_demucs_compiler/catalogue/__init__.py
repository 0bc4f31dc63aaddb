"""Songs by the thousands, on a Ray cluster and in object stores."""

from onnx_demucs_compiler.catalogue.cluster import Cluster, check_installed
from onnx_demucs_compiler.catalogue.locations import Location
from onnx_demucs_compiler.catalogue.outcomes import CatalogueSong, SongOutcome
from onnx_demucs_compiler.catalogue.separation import separate_catalogue
from onnx_demucs_compiler.catalogue.songs import find_catalogue
from onnx_demucs_compiler.catalogue.worker import Wishes

__all__ = [
    "CatalogueSong",
    "Cluster",
    "Location",
    "SongOutcome",
    "Wishes",
    "check_installed",
    "find_catalogue",
    "separate_catalogue",
]

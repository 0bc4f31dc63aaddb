"""Loading: from what a person names to a module ready to compile, with what the artefact says of it."""

from .demucs_models import load_model
from .lively import make_lively
from .source_model import SourceModel, from_module

__all__ = ["SourceModel", "from_module", "load_model", "make_lively"]

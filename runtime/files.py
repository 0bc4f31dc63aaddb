"""The files of onnx-demucs-runtime, which lie beside those of the compiler."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class FilesOfTheTree(BuildHookInterface[Any]):
    """Adds the files that pyproject.toml names, from the checkout around this folder or from an sdist."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add them; an editable installation has the tree itself."""
        if version == "editable":
            return
        here = Path(self.root)
        files = self.config["files"]
        tree = here if (here / files[0]).is_file() else here.parent
        build_data["force_include"] |= {str(tree / name): name for name in files}

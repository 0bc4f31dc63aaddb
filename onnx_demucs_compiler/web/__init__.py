"""A page that separates songs in the browser, with a model."""

from onnx_demucs_compiler.web.serving import SiteServer
from onnx_demucs_compiler.web.site import check_site, site_files

__all__ = ["SiteServer", "check_site", "site_files"]

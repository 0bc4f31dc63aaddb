"""Builds of ONNX Runtime: omissions, options and resulting libraries."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from needed_sources import unneeded

if TYPE_CHECKING:
    from sources import Sources

CONFIGURATION = "MinSizeRel"
LIBRARY = "libonnxruntime.so"
CHANGES = Path(__file__).with_name("onnxruntime.cmake")
EXPORTING = (
    "onnxruntime/core/session/onnxruntime_c_api.cc",
    "onnxruntime/core/providers/cpu/cpu_provider_factory.cc",
)
REGISTRATIONS = ("cpu_execution_provider.cc.o", "cpu_contrib_kernels.cc.o")
"""Objects that refer to each kernel they register by a symbol of its own."""

LEFT_OUT_ALWAYS = (
    "--disable_ml_ops",
    "--disable_rtti",
    "--disable_exceptions",
    "--disable_types", "float8", "optional", "sparsetensor",
)  # fmt: skip
"""Separation has no use for these: operators of traditional machine learning, C++'s own run-time types and
exceptions, and types of tensors."""

COMPILER_FLAGS = (
    "-fvisibility=hidden",
    "-fvisibility-inlines-hidden",
    "-fno-semantic-interposition",
    "-fno-ident",
)


@dataclass(frozen=True)
class Variant:
    """One build.

    Attributes:
        name: of the build.
        config: the operators to keep, all of them where there is none.
        types: whether kernels keep only the types that ``config`` names.
        contrib: whether operators of com.microsoft are kept.
        extended: ``--minimal_build extended``, which can hand parts of a graph to other execution providers.
        folder: where it is built if not in a folder of its own: builds that differ in their configs alone
            have most objects in common.
    """

    name: str
    config: Path | None = None
    types: bool = False
    contrib: bool = False
    extended: bool = False
    folder: str = ""

    @property
    def options(self) -> tuple[str, ...]:
        """The options of ONNX Runtime's ``build.py``, but for paths."""
        options = ["--minimal_build", *(["extended"] if self.extended else [])]
        options += [] if self.contrib else ["--disable_contrib_ops"]
        options += ["--include_ops_by_config", str(self.config)] if self.config else []
        options += ["--enable_reduced_operator_type_support"] if self.types else []
        return (*options, *LEFT_OUT_ALWAYS)


@dataclass(frozen=True)
class Library:
    """The result of a build.

    Attributes:
        path: the library, stripped.
        kernels: how many it registers.
    """

    path: Path
    kernels: int

    @property
    def bytes(self) -> int:
        """Size of the library."""
        return self.path.stat().st_size


def build(variant: Variant, sources: Sources, work: Path, jobs: int) -> Library:
    """Build one variant under ``work/build``, with a log, into ``work/libraries``."""
    folder = work / "build" / (variant.folder or variant.name)
    folder.mkdir(parents=True, exist_ok=True)
    left_out = (
        unneeded(sources.onnxruntime, variant.config, extended=variant.extended) if variant.config else []
    )
    defines = {
        "CMAKE_PROJECT_onnxruntime_INCLUDE": CHANGES,
        "EXPORTING": ";".join(str(sources.onnxruntime / file) for file in EXPORTING),
        "LEFT_OUT": ";".join(map(str, left_out)),
        **_common_defines(folder, sources),
    }
    log = work / "build" / f"{variant.name}.log"
    with log.open("w") as written:
        status = subprocess.run(
            [sources.tools / "bin" / "python", "tools/ci_build/build.py", *variant.options,
             *_common_options(folder, sources, jobs),
             "--cmake_extra_defines", *(f"{name}={value}" for name, value in defines.items())],
            cwd=sources.onnxruntime, env=_environment(sources, work), stdout=written, stderr=written,
        ).returncode  # fmt: skip
    if status:
        raise SystemExit(f"the build of '{variant.name}' failed; the end of {log} says why")
    built = folder / CONFIGURATION
    library = work / "libraries" / f"{variant.name}.so"
    library.parent.mkdir(exist_ok=True)
    _strip(built / LIBRARY, library)
    return Library(library, _kernels(built))


def _common_defines(folder: Path, sources: Sources) -> dict[str, object]:
    """CMake's options for every build: no downloads, small code."""
    # Names of source files are part of messages, and would hold the machine's paths. Under ccache
    # they are relative to the folder of the build.
    above = os.path.relpath(sources.folder, folder / CONFIGURATION)
    renamed = [f"-ffile-prefix-map={prefix}/=" for prefix in (sources.folder, above)]
    flags = " ".join([*COMPILER_FLAGS, *renamed])
    ccache = sources.sysroot / "usr/bin/ccache"
    projects = {
        "ABSEIL_CPP": "abseil", "RE2": "re2", "PROTOBUF": "protobuf",
        "FLATBUFFERS": "flatbuffers", "ONNX": "onnx", "EIGEN": "eigen",
    }  # fmt: skip
    return {
        "FETCHCONTENT_FULLY_DISCONNECTED": "ON",
        **{f"FETCHCONTENT_SOURCE_DIR_{name}": sources.of(project) for name, project in projects.items()},
        "FETCHCONTENT_SOURCE_DIR_UTF8_RANGE": sources.empty,
        "safeint_SOURCE_DIR": sources.sysroot / "usr/include/safeint",
        "CMAKE_PREFIX_PATH": sources.sysroot / "usr",
        "CMAKE_MAKE_PROGRAM": sources.tools / "bin/ninja",
        "CMAKE_C_COMPILER_LAUNCHER": ccache,
        "CMAKE_CXX_COMPILER_LAUNCHER": ccache,
        "CMAKE_C_FLAGS": flags,
        "CMAKE_CXX_FLAGS": flags,
        "onnxruntime_ENABLE_CPUINFO": "OFF",
        "onnxruntime_BUILD_UNIT_TESTS": "OFF",
        "FLATBUFFERS_BUILD_FLATC": "OFF",
    }


def _common_options(folder: Path, sources: Sources, jobs: int) -> list[str]:
    """For ONNX Runtime's ``build.py``, in every build."""
    return [
        "--build_dir", str(folder), "--config", CONFIGURATION, "--update", "--build",
        "--target", "onnxruntime", "--build_shared_lib", "--parallel", str(jobs),
        "--skip_tests", "--skip_submodule_sync", "--compile_no_warning_as_error", "--allow_running_as_root",
        "--cmake_generator", "Ninja",
        "--cmake_path", str(sources.tools / "bin/cmake"), "--ctest_path", str(sources.tools / "bin/ctest"),
        "--path_to_protoc_exe", str(sources.sysroot / "usr/bin/protoc"),
    ]  # fmt: skip


def _environment(sources: Sources, work: Path) -> dict[str, str]:
    return os.environ | {
        "LD_LIBRARY_PATH": str(sources.libraries),
        "CCACHE_DIR": str(work / "ccache"),
        "CCACHE_BASEDIR": str(work),
        "CCACHE_COMPILERCHECK": "content",
    }


def _strip(library: Path, stripped: Path) -> None:
    shutil.copyfile(library, stripped)
    subprocess.run(["strip", "--strip-all", "--remove-section=.comment", stripped], check=True)


def _kernels(built: Path) -> int:
    """Count the kernels that the registration refers to; ``void`` stands for none."""
    objects = [found for name in REGISTRATIONS for found in built.rglob(name)]
    symbols = subprocess.run(
        ["nm", "--demangle", "--undefined-only", *objects], check=True, capture_output=True, text=True
    ).stdout
    kernels = re.findall(r"BuildKernelCreateInfo<(?!void>)([^>]+)>", symbols)
    return len(set(kernels))

"""A model in ORT format as sources of C."""

from __future__ import annotations

import re
from string import Template
from typing import TYPE_CHECKING

from onnx_demucs_compiler.artifact.writing import check_replaceable_folder, write_folder
from onnx_demucs_compiler.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

ALIGNMENT = 64
"""Bytes; a cache line, and the widest vector of a processor."""

LARGEST_ARRAY = 1 << 20
"""Bytes of a model that still becomes an array of C; compilers need minutes for large ones."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_IN_A_LINE = 24

_HEADER = Template("""\
/* Written by onnx-demucs embed: $name.ort, $size bytes. */
#ifndef ${name}_EMBEDDED_H
#define ${name}_EMBEDDED_H

#include <stdint.h>

#if defined(__GNUC__) && !defined(_WIN32)
#define ${name}_HIDDEN __attribute__((visibility("hidden")))
#else
#define ${name}_HIDDEN
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The file, on an address that $alignment divides. Not exported from a shared library. */
extern ${name}_HIDDEN const unsigned char ${name}_begin[];

/* Its bytes. */
extern ${name}_HIDDEN const uint64_t ${name}_size;

#define ${name}_end (${name}_begin + ${name}_size)

#ifdef __cplusplus
}
#endif

#endif
""")

_ASSEMBLY = Template("""\
/* Written by onnx-demucs embed, for GNU as and clang: ELF, Mach-O and COFF. -I finds $name.ort. */
#define JOINED(prefix, name) prefix##name
#define WITH_PREFIX(prefix, name) JOINED(prefix, name)
#define SYMBOL(name) WITH_PREFIX(__USER_LABEL_PREFIX__, name)

#if defined(__APPLE__)
    .section __TEXT,__const
    .private_extern SYMBOL(${name}_begin)
    .private_extern SYMBOL(${name}_size)
#elif defined(_WIN32)
    .section .rdata,"dr"
#else
    .section .rodata.$name,"a",%progbits
    .hidden SYMBOL(${name}_begin)
    .hidden SYMBOL(${name}_size)
#endif
    .globl SYMBOL(${name}_begin)
    .globl SYMBOL(${name}_size)
    .balign $alignment
SYMBOL(${name}_begin):
    .incbin "$name.ort"
0:
    .balign 8
SYMBOL(${name}_size):
    .quad 0b - SYMBOL(${name}_begin)
#if defined(__ELF__)
    .section .note.GNU-stack,"",%progbits
#endif
""")

_ARRAY = Template("""\
/* Written by onnx-demucs embed: $name.ort. */
#include "$name.h"

#if defined(_MSC_VER)
#define ${name}_ALIGNED __declspec(align($alignment))
#else
#define ${name}_ALIGNED __attribute__((aligned($alignment)))
#endif

${name}_ALIGNED const unsigned char ${name}_begin[] = {
$numbers
};
const uint64_t ${name}_size = sizeof(${name}_begin);
""")

_RESOURCE = Template("""\
// Written by onnx-demucs embed, for Microsoft's compiler.
$name RCDATA "$name.ort"
""")

_CMAKE = Template("""\
# Written by onnx-demucs embed: add_subdirectory(...), then target_link_libraries(PROGRAM PRIVATE $name).
cmake_minimum_required(VERSION 3.20)
project($name $language)
$remark
add_library($name STATIC $source)
set_target_properties($name PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_include_directories($name PUBLIC $${CMAKE_CURRENT_SOURCE_DIR})
""")

_ASSEMBLED = Template("""\
if(MSVC)
  message(FATAL_ERROR "Microsoft's assembler embeds no files: see README.md beside this file")
endif()
set_source_files_properties($name.S PROPERTIES OBJECT_DEPENDS $${CMAKE_CURRENT_SOURCE_DIR}/$name.ort)
""")

_README = Template("""\
# $name

| file | |
|---|---|
| `$name.ort` | the model, $size bytes |
| `$name.h` | `${name}_begin`, `${name}_end`, `${name}_size` |
$rows
| `CMakeLists.txt` | a library: `add_subdirectory`, then `target_link_libraries(PROGRAM PRIVATE $name)` |

The model is read-only data on an address that $alignment divides. Its symbols are hidden: a shared library
does not export them, and plug-ins in one host may call theirs the same. ONNX Runtime uses it where it lies:

```cpp
Ort::SessionOptions options;
options.AddConfigEntry("session.use_ort_model_bytes_directly", "1");
options.AddConfigEntry("session.use_ort_model_bytes_for_initializers", "1");
Ort::Session session(env, ${name}_begin, ${name}_size, options);
```
$microsoft""")

_MICROSOFT = Template("""
Microsoft's compiler comes with no assembler that embeds files. Either assemble `$name.S` with clang, which
Visual Studio installs as a component, and link the object file,

```
clang --target=x86_64-pc-windows-msvc -c $name.S -o $name.obj
```

or add `$name.rc` to the sources of the plug-in, and leave `$name.h` out:

```cpp
extern "C" IMAGE_DOS_HEADER __ImageBase;
const auto module = reinterpret_cast<HMODULE>(&__ImageBase);  // the plug-in, not the host
const auto resource = FindResourceW(module, L"$name", MAKEINTRESOURCEW(10));  // RT_RCDATA
const void* const begin = LockResource(LoadResource(module, resource));
const std::size_t size = SizeofResource(module, resource);
```
""")


def prefix_of(path: Path) -> str:
    """The prefix of symbols that a model's file name makes: ``my-model.ort`` → ``my_model``."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", path.stem).strip("_")
    return name if _NAME.fullmatch(name) else f"model_{name}".rstrip("_")


def check_embedded(folder: Path, prefix: str, *, force: bool) -> None:
    """Fail early if sources of a model cannot be written.

    Raises:
        UsageError: the prefix is no name of C; or something is there, and is not to be replaced, or is more
            than such sources.
        CompilerError: the folder that it goes into is not there.
    """
    if not _NAME.fullmatch(prefix):
        raise UsageError(
            f"{prefix!r} does not begin a name in C; give letters, digits and underscores, a letter first"
        )
    named = (f"{prefix}{suffix}" for suffix in (".ort", ".h", ".S", ".c", ".rc"))
    refusal = f"holds more than sources of {prefix}, and would be replaced"
    check_replaceable_folder(folder, (*named, "CMakeLists.txt", "README.md"), refusal, force=force)


def write_embedded(folder: Path, model: bytes, prefix: str, *, force: bool = False) -> Path:
    """Write a model as sources of C, whole or not at all.

    Args:
        folder: what appears once it is complete.
        model: content of an ``.ort`` file.
        prefix: of the files and symbols, a name of C.
        force: replace earlier sources of the same prefix.

    Returns:
        The path of the header in it.

    Raises:
        UsageError: the prefix is no name of C; or something is there, and is not to be replaced, or is more
            than such sources.
        CompilerError: it cannot be written.
    """
    check_embedded(folder, prefix, force=force)
    write_folder(folder, embedded(model, prefix))
    return folder / f"{prefix}.h"


def embedded(model: bytes, prefix: str) -> dict[str, bytes]:
    """The sources of a model, by their names.

    A header, and an array in C for a model of at most :data:`LARGEST_ARRAY` bytes; for a larger one an
    assembler file and a resource script, which name the model.
    """
    texts = _small(model, prefix) if len(model) <= LARGEST_ARRAY else _large(model, prefix)
    return {f"{prefix}.ort": model} | {name: text.encode() for name, text in texts.items()}


def _small(model: bytes, name: str) -> dict[str, str]:
    lines = (model[start : start + _IN_A_LINE] for start in range(0, len(model), _IN_A_LINE))
    numbers = "\n".join("".join(f"{byte}," for byte in line) for line in lines)
    facts = {"name": name, "size": len(model), "alignment": ALIGNMENT}
    return {
        f"{name}.h": _HEADER.substitute(facts),
        f"{name}.c": _ARRAY.substitute(facts, numbers=numbers),
        "CMakeLists.txt": _CMAKE.substitute(facts, language="C", source=f"{name}.c", remark=""),
        "README.md": _README.substitute(facts, rows=f"| `{name}.c` | the model as an array |", microsoft=""),
    }


def _large(model: bytes, name: str) -> dict[str, str]:
    facts = {"name": name, "size": len(model), "alignment": ALIGNMENT}
    rows = (
        f"| `{name}.S` | the symbols, for GNU as and clang |\n"
        f"| `{name}.rc` | the model as a resource, for Microsoft's compiler |"
    )
    return {
        f"{name}.h": _HEADER.substitute(facts),
        f"{name}.S": _ASSEMBLY.substitute(facts),
        f"{name}.rc": _RESOURCE.substitute(facts),
        "CMakeLists.txt": _CMAKE.substitute(
            facts, language="C ASM", source=f"{name}.S", remark=_ASSEMBLED.substitute(facts)
        ),
        "README.md": _README.substitute(facts, rows=rows, microsoft=_MICROSOFT.substitute(facts)),
    }

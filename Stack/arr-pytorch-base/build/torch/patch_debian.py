#!/usr/bin/env python3
"""patch_debian.py DIRECTORY: what Debian's patches change for its own layout, and a wheel must not have.

Each edit is made once and must find its lines: a new source version that differs stops here, not at run time.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

STAMP = ".arrstack-debian"
SCHEMA = "torch/csrc/jit/serialization/mobile_bytecode.fbs"


class Edit(NamedTuple):
    """`old` becomes `new` in `file`, both as they stand there, also over several lines."""

    file: str
    old: str
    new: str


EDITS = (
    # Libraries named .so.2.6 do not get into the wheel, and without an RPATH torch would take another torch's.
    Edit("CMakeLists.txt", 'shared objects" ON)', 'shared objects" OFF)'),
    Edit("cmake/Dependencies.cmake", 'set(CMAKE_INSTALL_RPATH "")', 'set(CMAKE_INSTALL_RPATH "$ORIGIN")'),
    # The log of every edge's whole command is megabytes that nobody reads.
    Edit("CMakeLists.txt", "set(CMAKE_VERBOSE_MAKEFILE ON)", "set(CMAKE_VERBOSE_MAKEFILE OFF)"),
    Edit("tools/setup_helpers/cmake.py", """["-j", max_jobs, '-v']""", '["-j", max_jobs]'),
    # Only a bundled tensorpipe switches libuv on; torchrun asks for it (TCPStore's default back end). One file knows of it.
    Edit(
        "cmake/Dependencies.cmake",
        "list(APPEND Caffe2_DEPENDENCY_LIBS tensorpipe)\n\tif(USE_CUDA)",
        "list(APPEND Caffe2_DEPENDENCY_LIBS tensorpipe uv)\n\tif(USE_CUDA)",
    ),
    Edit(
        "caffe2/CMakeLists.txt",
        "torch_compile_options(torch_cpu)",
        "set_source_files_properties(${TORCH_ROOT}/torch/csrc/distributed/c10d/TCPStoreLibUvBackend.cpp\n"
        "  PROPERTIES COMPILE_DEFINITIONS TORCH_USE_LIBUV)\n"
        "torch_compile_options(torch_cpu)",
    ),
    # Kineto looks for CUPTI where NVIDIA's installer puts it and nowhere else, and is built for the CPU alone without.
    Edit(
        "cmake/Dependencies.cmake",
        "        ${CUDA_SOURCE_DIR}/extras/CUPTI/lib64\n",
        "        ${CUDA_SOURCE_DIR}/extras/CUPTI/lib64 /usr/lib/x86_64-linux-gnu\n",
    ),
)


def edited(text: str, edit: Edit) -> str:
    """The text with the edit made. Raises LookupError where it no longer holds the old lines."""
    if edit.new in text:
        return text
    if edit.old not in text:
        raise LookupError(edit.old)
    return text.replace(edit.old, edit.new)


def generate(tree: Path, flatc: str) -> Path:
    """The header of the mobile format, which was generated for the flatbuffers of another release."""
    schema = tree / SCHEMA
    command = [flatc, "--cpp", "--gen-mutable", "--scoped-enums", schema.name]
    if subprocess.run(command, cwd=schema.parent).returncode:
        sys.exit(f"error: {flatc} does not take {SCHEMA}")
    return schema.with_name(f"{schema.stem}_generated.h")


def main(tree: Path, flatc: str = "flatc") -> int:
    if (tree / STAMP).exists():
        return 0
    for edit in EDITS:
        path = tree / edit.file
        try:
            path.write_text(edited(path.read_text(encoding="utf-8"), edit), encoding="utf-8")
        except (LookupError, FileNotFoundError):
            sys.exit(
                f"error: {edit.file} no longer holds the lines that this recipe changes: compare patch_debian.py with the "
                f"new source. Not found: {edit.old}"
            )
    changed = [*sorted({tree / edit.file for edit in EDITS}), generate(tree, flatc)]
    seconds = int(os.environ["SOURCE_DATE_EPOCH"])
    for path in changed:
        os.utime(path, (seconds, seconds))
    (tree / STAMP).touch()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

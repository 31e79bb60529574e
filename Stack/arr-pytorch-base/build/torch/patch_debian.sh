#!/bin/bash
# patch_debian.sh DIRECTORY: what Debian's patches change for its own layout, and a wheel must not have.
# Each edit is made once and must find its line: a new source version that differs stops here, not at run time.
. /build/common/lib.sh
cd "$1"
[ -e .arrstack-debian ] && exit 0
edit() { # edit FILE OLD NEW, both as they stand there, also over several lines
  python3 - "$@" <<'PY' || die "$1 no longer holds the lines that this recipe changes: compare patch_debian.sh with the new source"
import pathlib, sys
path, old, new = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
text = path.read_text()
if new not in text:
    if old not in text:
        sys.exit(f"{path}: not found: {old}")
    path.write_text(text.replace(old, new))
PY
}
# Libraries named .so.2.6 do not get into the wheel, and without an RPATH torch would take another torch's.
edit CMakeLists.txt 'shared objects" ON)' 'shared objects" OFF)'
edit cmake/Dependencies.cmake 'set(CMAKE_INSTALL_RPATH "")' 'set(CMAKE_INSTALL_RPATH "$ORIGIN")'
# The log of every edge's whole command is megabytes that nobody reads.
edit CMakeLists.txt 'set(CMAKE_VERBOSE_MAKEFILE ON)' 'set(CMAKE_VERBOSE_MAKEFILE OFF)'
edit tools/setup_helpers/cmake.py '["-j", max_jobs, '"'-v'"']' '["-j", max_jobs]'
# Only a bundled tensorpipe switches libuv on; torchrun asks for it (TCPStore's default back end). One file knows of it.
edit cmake/Dependencies.cmake 'list(APPEND Caffe2_DEPENDENCY_LIBS tensorpipe)
	if(USE_CUDA)' 'list(APPEND Caffe2_DEPENDENCY_LIBS tensorpipe uv)
	if(USE_CUDA)'
edit caffe2/CMakeLists.txt 'torch_compile_options(torch_cpu)' 'set_source_files_properties(${TORCH_ROOT}/torch/csrc/distributed/c10d/TCPStoreLibUvBackend.cpp
  PROPERTIES COMPILE_DEFINITIONS TORCH_USE_LIBUV)
torch_compile_options(torch_cpu)'
# Generated for the flatbuffers of another release otherwise.
(cd torch/csrc/jit/serialization && flatc --cpp --gen-mutable --scoped-enums mobile_bytecode.fbs)
touch --date=@"$SOURCE_DATE_EPOCH" CMakeLists.txt caffe2/CMakeLists.txt cmake/Dependencies.cmake tools/setup_helpers/cmake.py torch/csrc/jit/serialization/mobile_bytecode_generated.h
touch .arrstack-debian

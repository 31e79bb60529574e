# Sourced by each component's build.sh: what the three wheels have in common.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# lock DIRECTORY: a second build of the same directory waits here. The lock ends with this process, however it ends.
lock() {
  mkdir -p "$1"
  exec 9>"$1/.arrstack-lock"
  flock --nonblock 9 || { echo "waiting for another build in $1"; flock 9; }
}

# use_compilers PLAN TREE WORK [GROUPS]: compilers, launcher and cache by COMPILE_PLAN. The rules and headers of the folder PLAN are
# copied into WORK with the tree's date: they are dependencies of every object that uses them. GROUPS, a file of that
# folder, tells CMake which files to compile together; where there is none, each is compiled alone.
use_compilers() {
  local plan=$1 tree=$2 work=$3 groups=${4:-}
  export ARRSTACK_WORK=$work ARRSTACK_CCACHE=ccache ARRSTACK_JOBS=${MAX_JOBS:-}
  export CCACHE_DIR=/ccache CCACHE_DEPEND=1 CCACHE_SLOPPINESS=pch_defines,time_macros CCACHE_PCH_EXTSUM=1
  export CCACHE_COMPILERCHECK=content CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-10G}
  mkdir -p "$work"
  rm -f "$work/ahead.tsv"  # of an earlier build, which may have had other jobs
  /build/common/twins.py "$tree" "$work"
  export CCACHE_EXTRAFILES=$work/twins
  case ${COMPILE_PLAN:-auto} in
    none) export CC=$PLAIN_CC CXX=$PLAIN_CXX ;;
    auto)
      export CC=$PLAN_CC CXX=$PLAN_CXX CMAKE_LIBRARY_PATH=${PLAN_LIBRARY_PATH:-} ARRSTACK_PCH=$work/plan/pch.json
      export ARRSTACK_MALLOC=${PLAN_MALLOC:-} ARRSTACK_LIBRARIES=$FASTER_COMPILER ARRSTACK_FLAGS=${PLAN_FLAGS:-}
      mkdir -p "$work/plan"
      cp -r "$plan/pch.json" "$plan/headers" "$work/plan/"
      if [ -n "$groups" ] && [ -e "$plan/$groups" ]; then
        cp "$plan/$groups" "$work/plan/groups.tsv"
        cp "$plan/groups.cmake" "$work/plan/"
        export ARRSTACK_GROUPS=$work/plan/groups.tsv CMAKE_PROJECT_TOP_LEVEL_INCLUDES=$work/plan/groups.cmake
      fi
      find "$work/plan" -exec touch --date=@"$SOURCE_DATE_EPOCH" {} + ;;
    *) die "COMPILE_PLAN is '$COMPILE_PLAN': it takes auto or none" ;;
  esac
  export LDFLAGS=${LINKER_FLAGS:-}
  local launcher="/usr/bin/python3;-I;-S;/build/common/launcher.py"
  export CMAKE_C_COMPILER_LAUNCHER=$launcher CMAKE_CXX_COMPILER_LAUNCHER=$launcher
  [ "${USE_CUDA:-0}" = 0 ] || use_nvcc "$tree" "$work" "$launcher" "$plan" "$(basename "${groups:-none}")"
  ccache --zero-stats >/dev/null
  /build/common/report_build.py 9>&- & # without the directory's lock
  trap "kill $! 2>/dev/null && wait $! || true" EXIT
}

# use_nvcc TREE WORK LAUNCHER PLAN NAME: the launcher for CUDA files too. By the plan nvcc is taken apart (nvcc.py), behind ccache, which
# sees a script and is told what it stands for. PLAN/same-ptx/NAME names architectures with the same PTX; where there is none, each has
# its own. PLAN/clang/NAME says which objects clang compiles; where there is none, nvcc compiles all.
use_nvcc() {
  export CMAKE_CUDA_COMPILER_LAUNCHER=$3 CUDACXX=${CUDACXX:-$(command -v nvcc)}
  [ "${COMPILE_PLAN:-auto}" = auto ] || return 0
  ARRSTACK_CUDA_NAMESPACE=$(/build/common/nvcc.py --namespace "$1" $CUDA_INCLUDES)
  export ARRSTACK_CUDA_NAMESPACE
  # shellcheck disable=SC2046,SC2086  # words
  ARRSTACK_NVCC_ID=$(/build/common/nvcc.py --identity $CUDA_TOOLS "$("$CUDAHOSTCXX" -print-prog-name=cc1plus)")
  export ARRSTACK_NVCC_ID ARRSTACK_NVCC=$2/nvcc
  if [ -n "${FATBIN_COMPRESSION:-}" ]; then
    local packer=/usr/local/fatbinary/fatbinary
    [ -x "$packer" ] || die "FATBIN_COMPRESSION is '$FATBIN_COMPRESSION', and FATBINARY_WHEEL names no fatbinary that can do it"
    [[ "$FATBIN_COMPRESSION" =~ ^(size|balance)$ ]] || die "FATBIN_COMPRESSION is '$FATBIN_COMPRESSION': it takes size, balance or nothing"
    ARRSTACK_FATBINARY_ID=$FATBIN_COMPRESSION-$(/build/common/nvcc.py --identity "$packer")
    export ARRSTACK_FATBINARY_ID ARRSTACK_FATBINARY="$packer --compress-mode=$FATBIN_COMPRESSION"
  fi
  if [ -e "$4/same-ptx/$5" ] && [ ! -e "$2/same-ptx.wrong" ]; then
    cp "$4/same-ptx/$5" "$2/same-ptx.tsv"
    export ARRSTACK_SAME_PTX=$2/same-ptx.tsv
  fi
  [ ! -e "$4/clang/$5" ] || use_clang "$1" "$2" "$4" "$4/clang/$5"
  printf '#!/bin/sh\nexec /usr/bin/python3 -I -S /build/common/nvcc.py %s "$@"\n' "$CUDACXX" >"$2/nvcc"
  chmod +x "$2/nvcc"
}

# ninja_all TARGET...: builds in build/. Where a sample shows that the list of the same PTX is wrong, all that took another's PTX is made anew.
ninja_all() {
  ninja -C build -j "$MAX_JOBS" "$@"
  [ -e "$ARRSTACK_WORK/same-ptx.wrong" ] || return 0
  python3 "$(dirname "${BASH_SOURCE[0]}")/parts.py" "$ARRSTACK_WORK/parts.tsv" | (cd build && xargs -r -d '\n' rm -f)
  ninja -C build -j "$MAX_JOBS" "$@"
}

# use_clang TREE WORK PLAN OBJECTS: clang for some of the CUDA objects, with the headers that it takes otherwise than nvcc.
use_clang() {
  local folder=$2/clang-cuda
  mkdir -p "$folder"
  cp "$4" "$folder/objects.tsv"
  # shellcheck disable=SC2086  # words
  /build/common/clang_headers.py "$folder/include" "$3/clang-headers.json" "$1" "$1/aten/src" $CUDA_INCLUDES
  # shellcheck disable=SC2046  # words
  ARRSTACK_CLANG_ID=$(/build/common/nvcc.py --identity "$(command -v "$PLAN_CXX")" "$CUDA_TOOLKIT/nvvm" "$folder/include" \
    $(ldd "$(command -v "$PLAN_CXX")" | awk '/LLVM|clang/ { print $3 }'))
  export ARRSTACK_CLANG_ID ARRSTACK_CLANG_CUDA=$folder ARRSTACK_CLANG_HEADER=$2/plan/headers/cuda.h
}

# use_wrapper WORK: the same launcher for a build that knows CXX and torch's extension builder alone.
use_wrapper() {
  printf '#!/bin/sh\nexec /usr/bin/python3 -I -S /build/common/launcher.py %s "$@"\n' "$CXX" >"$1/c++"
  printf '#!/bin/sh\nexec /usr/bin/python3 -I -S /build/common/launcher.py %s "$@"\n' "$CC" >"$1/cc"
  chmod +x "$1/c++" "$1/cc"
  export CC=$1/cc CXX=$1/c++
  [ "${USE_CUDA:-0}" != 0 ] || return 0
  printf '#!/bin/sh\nexec /usr/bin/python3 -I -S /build/common/launcher.py %s "$@"\n' "$CUDACXX" >"$1/cu"
  chmod +x "$1/cu"
  # It would compare the version of CXX with what nvcc takes, which has a host compiler of its own.
  export PYTORCH_NVCC=$1/cu TORCH_DONT_CHECK_COMPILER_ABI=1
}

# use_torch: the torch wheel that this one stands on, importable.
use_torch() {
  mkdir -p /opt/site
  python3 -m zipfile -e /deps/torch-*.whl /opt/site
  chmod +x /opt/site/torch/bin/* 2>/dev/null || true
  export PYTHONPATH=/opt/site
}

# torch_version: what the wheel in /deps says it is.
torch_version() { basename /deps/torch-*.whl | cut -d- -f2; }

# check NAME PROGRAM: imports the finished wheel from a folder of its own and asks it what it holds.
check() {
  local site; site=$(mktemp -d)
  python3 -m zipfile -e /wheels/"$1"-*.whl "$site"
  PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH} python3 -P "$2"
  PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH} python3 /build/common/record.py "$1" "$site" >/wheels/"$1".json
  rm -rf "$site"
}

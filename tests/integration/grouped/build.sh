#!/bin/bash
# build.sh BUILD-DIRECTORY: the tree compiled as the bottom recipe compiles PyTorch, its program's output printed.
. /build/common/component.sh
cd /opt/pytorch
use_compilers /build/torch /opt/pytorch "$1.work" groups/made.tsv
[ -e "$1/build.ninja" ] || cmake -G Ninja -S . -B "$1" -DCMAKE_BUILD_TYPE=Release \
  ${CMAKE_PROJECT_TOP_LEVEL_INCLUDES:+-DCMAKE_PROJECT_TOP_LEVEL_INCLUDES=$CMAKE_PROJECT_TOP_LEVEL_INCLUDES}
ninja -C "$1" -j 2
"$1/program"
ccache --print-stats >"$1.work/cache"

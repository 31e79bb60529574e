#!/bin/bash
# faster_compiler.sh FOLDER: the compiler's libraries laid out anew in FOLDER, for the launcher to give to the compiler.
#
# Debian's clang is built without a profile, and most of its time goes into code that is read from memory and not run. BOLT
# (llvm-bolt) moves what a recorded compile ran together and apart from what it did not. The compiler does the same in less
# CPU time, and writes the same objects to the byte. A recording belongs to one build of one library, so it
# is named by that library's build id: build/compiler/BUILD_ID.fdata.xz, made by tools/compile-plan/compiler_profile.py. Where there is none, or
# BOLT does not take it, the library stays as the distribution made it.
. "$(dirname "$0")/lib.sh"
[ -n "${PLAN_BOLT:-}" ] || exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$1"

# compile OUTPUT: what must come out the same.
compile() {
  printf '#include <map>\n#include <string>\nint f(std::map<std::string, int>& m) { try { return m.at("x"); } catch (...) { return 1; } }\n' |
    "$PLAN_CXX" -x c++ -std=c++17 -O3 -c - -o "$1"
}

ldd "$(readlink -f "$(command -v "$PLAN_CXX")")" | awk '/ => .*(clang|LLVM)/ {print $1, $3}' >"$work/libraries"
while read -r name path; do
  path=$(readlink -f "$path")
  recording=/build/compiler/$(readelf -n "$path" | awk '/Build ID/ {print $3}').fdata.xz
  if [ ! -e "$recording" ]; then
    echo "$name: no recording of this build ($recording): as it is"
    continue
  fi
  xz -dc "$recording" >"$work/fdata"
  if ! "$PLAN_BOLT" "$path" --allow-stripped --data="$work/fdata" --infer-fall-throughs --reorder-blocks=ext-tsp --split-functions \
    --split-all-cold --split-eh --use-gnu-stack -o "$1/$name" >"$work/log" 2>&1; then
    tail -n 5 "$work/log"
    echo "$name: BOLT failed: as it is"
    rm -f "$1/$name"
  fi
done <"$work/libraries"

[ -n "$(ls "$1")" ] || exit 0
compile "$work/plain.o"
if ! LD_LIBRARY_PATH=$1 compile "$work/faster.o" || ! cmp "$work/plain.o" "$work/faster.o"; then
  echo "the compiler with the new libraries does not write what it wrote: as it is"
  rm -f "$1"/*
fi

#!/bin/bash
# Resolves the locks of tier 2 and tier 1 anew, with uv (astral.sh/uv) and the package index of this machine.
# Tier 1 holds what the trio itself needs. It is resolved under tier 2's lock, so that both name the very same
# versions and tier 2 has nothing of tier 1 to replace.
set -euo pipefail
cd "$(dirname "$0")"
base=../../arr-pytorch-base/locks
export UV_CUSTOM_COMPILE_COMMAND=Stack/arr-ml-stack/locks/refresh.sh

# resolve PROFILE PYTHON MANYLINUX INPUT OUTPUT ARG...
# The manylinux tag is the C library of the profile's distribution: no wheel that needs a newer one, no source build.
resolve() {
  local profile=$1 python=$2 manylinux=$3 input=$4 output=$5; shift 5
  echo "$profile: $output"
  uv pip compile --quiet --no-config --upgrade --generate-hashes --only-binary :all: --no-emit-index-url --no-emit-find-links \
    --python-version "$python" --python-platform "x86_64-$manylinux" --excludes excludes.txt --overrides overrides.txt \
    --no-emit-package torch --no-emit-package torchvision --no-emit-package torchaudio "$@" --output-file "$output" "$input"
}

for profile in "cpu 3.13 manylinux_2_40" "full 3.10 manylinux_2_35"; do
  set -- $profile
  resolve "$@" "$1.in" "$1.txt"
  resolve "$@" "$base/$1.in" "$base/$1.txt" --constraints "$1.txt"
done
# The same distribution, Python and trio as cpu's: CUDA is none of the locks' business.
for folder in . "$base"; do cp "$folder/cpu.txt" "$folder/debian-cuda.txt"; done

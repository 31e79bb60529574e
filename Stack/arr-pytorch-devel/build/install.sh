#!/bin/bash
# Compiler, ninja and headers; with CUDA its compiler and triton too. The base's PyTorch stays as it is, but for what was packed away.
. /build/lib.sh
export PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1
. /build/devel/packages.env
# What of the packages stays out of the image, and what of that is needed: dpkg takes the last pattern that fits.
read -ra without <<<"${DEVEL_WITHOUT:-}"
read -ra except <<<"${DEVEL_EXCEPT:-}"
options=()
for pattern in "${without[@]}"; do options+=(-o "Dpkg::Options::=--path-exclude=$pattern"); done
for pattern in "${except[@]}"; do options+=(-o "Dpkg::Options::=--path-include=$pattern"); done
# shellcheck disable=SC2086  # words
apt_install "${options[@]}" $DEVEL_PACKAGES
python3 /build/headers.py unpack

# link_compiler VERSION: that gcc by the names that programs ask for. nvcc takes no newer one, and an image with two would mix them.
link_compiler() {
  local program name
  for program in gcc g++; do
    for name in "$program" "x86_64-linux-gnu-$program"; do ln -sf "/usr/bin/x86_64-linux-gnu-$program-$1" "/usr/local/bin/$name"; done
  done
  ln -sf gcc /usr/local/bin/cc
  ln -sf g++ /usr/local/bin/c++
}
[ -z "${DEVEL_GCC:-}" ] || link_compiler "$DEVEL_GCC"

if [ -n "${DEVEL_PIP:-}" ]; then
  # Wheels of known content alone: a source distribution would run its own build back end.
  python3 -m pip install --no-cache-dir --no-compile --no-deps --require-hashes --only-binary :all: -r <(echo "$DEVEL_PIP")
fi
python3 -m pip check
python3 /build/installed.py
forget_dates

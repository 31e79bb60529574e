#!/bin/bash
# The toolchain stage: packages that the profile names, pinned tools from PyPI where its distribution's are too old, cuDNN.
. "$(dirname "$0")/lib.sh"
apt_install $TOOLCHAIN_PACKAGES
if [ -n "${TOOLCHAIN_UNPACKED:-}" ]; then
  apt-get update -qq
  (cd "$(mktemp -d)" && apt-get download -qq $TOOLCHAIN_UNPACKED && for deb in *.deb; do dpkg -x "$deb" /; done)
  forget_dates
fi
if [ -n "${CUDNN_WHEEL:-}" ]; then
  /build/common/cudnn.py "$CUDNN_WHEEL" --headers
  forget_dates
fi
if [ -n "${TOOLCHAIN_PIP:-}" ]; then
  # Wheels of known content alone: a source distribution would run its own build back end.
  python3 -m pip install --no-cache-dir --no-compile --no-deps --require-hashes --only-binary :all: \
    -r <(echo "$TOOLCHAIN_PIP")
  forget_dates
fi

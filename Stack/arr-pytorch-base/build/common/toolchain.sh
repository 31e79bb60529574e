#!/bin/bash
# The toolchain stage: packages that the profile names, pinned tools from PyPI where its distribution's are too old, a faster compiler.
. "$(dirname "$0")/lib.sh"
apt_install $TOOLCHAIN_PACKAGES
if [ -n "${TOOLCHAIN_PIP:-}" ]; then
  python3 -m pip install --no-cache-dir --no-compile $TOOLCHAIN_PIP
  forget_dates
fi
/build/common/faster_compiler.sh "$FASTER_COMPILER"

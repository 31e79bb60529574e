#!/bin/bash
# fatbinary.sh FOLDER: a newer fatbinary than the toolkit's, out of a pinned wheel: it packs GPU code by zstd (FATBIN_COMPRESSION).
# Nothing else of that wheel is used: ptxas and nvcc stay the toolkit's.
. "$(dirname "$0")/lib.sh"
[ -n "${FATBINARY_WHEEL:-}" ] || exit 0
work=$(mktemp -d)
python3 -m pip install --quiet --no-cache-dir --no-compile --no-deps --require-hashes --only-binary :all: --target "$work" \
  -r <(echo "$FATBINARY_WHEEL")
install -D -m 755 "$work"/nvidia/*/bin/fatbinary "$1/fatbinary"
rm -rf "$work"
"$1/fatbinary" --version
forget_dates

#!/bin/bash
# Nothing that only a build needs is in the image, and `python` is.
set -euo pipefail
wrong=()
for tool in gcc g++ cc c++ clang clang-19 ld cmake ninja make ccache nvcc git; do
  ! path=$(command -v "$tool") || wrong+=("$path is a build tool")
done
[ "$(python -c 'import sys; print(sys.version_info.major)')" = 3 ] || wrong+=("'python' is not Python 3")
! command -v conda >/dev/null || wrong+=("$(command -v conda) is conda")
pythons=$(find /usr/bin /usr/local/bin /opt -name 'python[0-9].*[0-9]' -type f 2>/dev/null | wc -l)
[ "$pythons" = 1 ] || wrong+=("$pythons Python interpreters, not one")
python -m pip check >/dev/null || wrong+=("pip check: $(python -m pip check | head -1)")
[ -z "$(ls -A /wheels 2>/dev/null)" ] || wrong+=("/wheels holds the packed wheels")
[ ! -s /run/secrets/ca ] || wrong+=("the network's certificates were left in /run/secrets")
[ -z "$(ls -A /var/lib/apt/lists 2>/dev/null)" ] || wrong+=("apt's package lists were left")
for path in $(find / -xdev \( -name 'libLLVM*.so*' -o -name 'libamdhip64.so*' -o -path '*/torch/include' -o -path '*/torch/*.a' \) -print); do
  wrong+=("$path is of no use here")
done
tests=$(find / -xdev -path '*-packages/*/tests/*.py' ! -path '*/torch*/*' -print -quit)
[ -z "$tests" ] || wrong+=("$tests is a package's test")
[ ${#wrong[@]} = 0 ] || { printf 'not minimal: %s\n' "${wrong[@]}" >&2; exit 1; }
echo "$(python --version), and no build tools"

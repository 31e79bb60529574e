#!/bin/bash
# What installing left behind is gone: test suites, caches, and tools that only a build needs.
set -euo pipefail
wrong=()
for tool in gcc g++ cc clang cmake ninja make cargo git; do
  ! path=$(command -v "$tool") || wrong+=("$path is a build tool")
done
site=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
found() { find "$@" -print -quit 2>/dev/null || true; }
for path in "$(found "$site" -path "$site/torch*" -prune -o -path '*/tests/*.py')" \
  "$(found "$site/awscli" -name examples)" \
  "$(found /var/lib/apt/lists /var/cache/apt /root/.cache /tmp/pip-* -type f)"; do
  [ -z "$path" ] || wrong+=("$path was left")
done
[ ${#wrong[@]} = 0 ] || { printf 'not clean: %s\n' "${wrong[@]}" >&2; exit 1; }
echo "no test suites, caches or build tools"

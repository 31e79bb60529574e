#!/bin/bash
# part.sh TIER PART: one part of a tier's launch, on a Cloud Build worker. PART: a wheel, which is published before this ends; image, which
# is proved before it is published under its key; tag, which moves the tag to what is proved.
# A worker's disk begins empty: a base that another one bootstrapped comes from the registry (`--only`). the compiler cache is brought before a wheel is compiled, and kept every ten minutes and at the end,
# also where the compile failed. ARRSTACK_PROFILE, ARRSTACK_REGISTRY, ... say the rest; the working folder, /workspace, is what steps share.
set -euo pipefail
tier=$1 part=$2 work=$PWD/.arrstack
export XDG_CACHE_HOME=$work/cache XDG_STATE_HOME=$work/state XDG_DATA_HOME=$work/data
export ARRSTACK_VERBOSE=1 # every line of a build goes to the log that who launched it follows

record=(--record "${MACHINE:-unknown}@$(cat .arrstack-worker 2>/dev/null || true)") # kept with what is published
product() { python3 CLI/cli.py --yes --engine buildah "$@"; }
jobs=$MAX_JOBS
# 176 jobs by hand on the default machine of 8 GB would end in compilers that the kernel kills: 1.5 GiB each (machine/resources.py).
fit=$(awk '/^MemAvailable:/ { print int($2 / 1572864) }' "${MEMINFO:-/proc/meminfo}")
[ "$fit" -ge 1 ] || fit=1
if [ "$jobs" -gt "$fit" ]; then
  echo "warning: $fit compilers at once, not $jobs: this machine's memory holds no more. A larger machine: docs/guide/google-cloud.md"
  jobs=$fit
fi

keep_cache() { product cache push || echo "warning: the compiler cache was not kept: $(date -u +%FT%TZ)"; }

case $part in
  tag) product launch "$tier" --jobs "$jobs" ;;
  image) product launch "$tier" --only image --jobs "$jobs" "${record[@]}" ;;
  *)
    product cache pull || echo "no compiler cache was brought: everything is compiled"
    set -m # a process group of its own: its sleep ends with it
    (while sleep "${KEEP_SECONDS:-600}"; do keep_cache; done) &
    keeper=$!
    set +m
    trap 'status=$?; kill -- -$keeper 2>/dev/null || true; keep_cache; exit $status' EXIT
    product launch "$tier" --only "$part" --jobs "$jobs" "${record[@]}"
    ;;
esac

#!/bin/bash
# enter.sh PARTS ROOT COMMAND...: runs a command in a root file system that pack.py packed, with this machine's GPUs and driver.
# The parts in PARTS are unpacked into ROOT if that has no root yet. Needs root, zstd and NVIDIA's driver.
set -euo pipefail
parts=$1 root=$2
shift 2
if [ ! -e "$root/.entered" ]; then
  mkdir -p "$root"
  cat "$parts"/part-*/part | zstd -dcq --long=27 | tar -x -C "$root"
  mkdir -p "$root"/{proc,sys,dev,tmp}
  chmod 1777 "$root/tmp"
  # The driver's libraries come from the machine, as with every runtime for containers: those of the kernel's own driver.
  version=$(nvidia-smi --id=0 --query-gpu=driver_version --format=csv,noheader)
  driver=$(find / \( -path "$root" -o -path /proc -o -path /sys \) -prune -o -name "libcuda.so.$version" -print -quit 2>/dev/null || true)
  [ -n "$driver" ] || { echo "error: there is no libcuda.so.$version on this machine" >&2; exit 1; }
  for name in cuda nvidia-ml nvidia-ptxjitcompiler nvidia-nvvm; do
    cp -a "$(dirname "$driver")/lib$name.so"* "$root/usr/lib/x86_64-linux-gnu/" 2>/dev/null || true
  done
  chroot "$root" ldconfig
  touch "$root/.entered"
fi
for mount in dev proc sys; do mountpoint -q "$root/$mount" || mount --rbind "/$mount" "$root/$mount"; done
mountpoint -q "$root/dev/shm" || mount -t tmpfs none "$root/dev/shm" 2>/dev/null || true
exec chroot "$root" env -i HOME=/root PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 PYTHONUNBUFFERED=1 "$@"

#!/bin/bash
# enter.sh PARTS ROOT COMMAND...: runs a command in a root file system that pack.py packed, with this machine's GPUs and driver.
# The parts in PARTS are unpacked into ROOT if that has no root yet. Needs root, zstd and NVIDIA's driver.
set -euo pipefail
parts=$1 root=$2
shift 2
if [ ! -e "$root/etc" ]; then
  mkdir -p "$root"
  cat "$parts"/part-*/part | zstd -dcq --long=27 | tar -x -C "$root"
  mkdir -p "$root"/{proc,sys,dev,tmp}
  chmod 1777 "$root/tmp"
  # The driver's libraries come from the machine, as with every runtime for containers.
  driver=$(find / -xdev \( -path "$root" -o -path /proc \) -prune -o -name 'libcuda.so.[0-9][0-9]*' -print 2>/dev/null | head -n 1)
  [ -n "$driver" ] || driver=$(find /usr/local/nvidia /usr/lib -name 'libcuda.so.[0-9][0-9]*' 2>/dev/null | head -n 1)
  cp -a "$(dirname "$driver")"/lib{cuda,nvidia-ml,nvidia-ptxjitcompiler,nvidia-nvvm}.so* "$root/usr/lib/x86_64-linux-gnu/" 2>/dev/null || true
  chroot "$root" ldconfig
fi
for mount in dev proc sys; do mountpoint -q "$root/$mount" || mount --rbind "/$mount" "$root/$mount"; done
mountpoint -q "$root/dev/shm" || mount -t tmpfs none "$root/dev/shm" 2>/dev/null || true
exec chroot "$root" env -i HOME=/root PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 PYTHONUNBUFFERED=1 "$@"

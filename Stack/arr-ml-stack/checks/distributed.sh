#!/bin/bash
# Two processes over gloo find each other under torchrun, and under accelerate launch.
# accelerate's --cpu starts one process whatever it is told: two need --multi_gpu with the CPU named by the environment.
set -euo pipefail
worker=$(dirname "$(readlink -f "$0")")/lib/worker.py
# By address: in a build's container its own name need not resolve.
export OMP_NUM_THREADS=1 GLOO_SOCKET_IFNAME=lo
expect() { # expect OUTPUT NAME
  [ "$(grep -c '^rank . of 2: the sum is 3$' <<<"$1")" = 2 ] || { echo "$2 did not run two processes that add up: $1" >&2; exit 1; }
}
expect "$(timeout 120 torchrun --standalone --local-addr 127.0.0.1 --nproc_per_node 2 "$worker" torch)" torchrun
expect "$(ACCELERATE_USE_CPU=true timeout 120 accelerate launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no \
  --dynamo_backend no --num_cpu_threads_per_process 1 --main_process_port 0 "$worker" accelerate)" "accelerate launch"
echo "torchrun and accelerate launch: two processes over gloo"

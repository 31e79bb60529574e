#!/bin/bash
# The agent's entry point. The agent itself is wandb[launch], which tier 2 brings.
. /build/lib.sh
export PYTHONDONTWRITEBYTECODE=1
install -m 0755 /build/launcher/arr-agent /usr/local/bin/arr-agent
arr-agent --help >/dev/null
python3 /build/ml-stack/guard.py compare /build/trio.json
forget_dates
chonk 100 "The launcher is ready"

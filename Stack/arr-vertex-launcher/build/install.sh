#!/bin/bash
# The agent's entry point. The agent itself is wandb[launch], which tier 2 brings.
. /build/lib.sh
export PYTHONDONTWRITEBYTECODE=1
cp -r /build/launcher/arr-agent /usr/local/lib/arr-agent
printf '#!/bin/sh\nexec python3 -I /usr/local/lib/arr-agent "$@"\n' >/usr/local/bin/arr-agent
chmod 0755 /usr/local/bin/arr-agent
arr-agent --help >/dev/null
python3 /build/ml-stack/guard.py compare /build/trio.json
forget_dates
chonk 100 "The launcher is ready"

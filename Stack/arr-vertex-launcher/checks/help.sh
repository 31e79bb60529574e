#!/bin/bash
# The entry point passes its arguments to the agent, and the agent's status back.
set -euo pipefail
told=$(arr-agent --help) # read to its end: grep -q would close the pipe while the entry point still writes
grep -q -- --queue <<<"$told"
! arr-agent --no-such-option 2>/dev/null || { echo "an unknown option ends with status 0" >&2; exit 1; }
echo "arr-agent --help answers; an unknown option fails"

"""What Python runs when it is given this folder: `python3 Stack/arr-vertex-launcher/build/arr-agent ARGUMENT...`

With the first word `--inside` this is the agent's own process, which the other one watches (`arr_agent.agent`).
"""

import os
import sys

if sys.argv[1:2] == ["--inside"]:
    from arr_agent import inside

    sys.exit(inside.main(sys.argv[2:], os.environ))

from arr_agent import agent

# Unbuffered: a line that stands in a buffer is read too late.
sys.exit(agent.main(sys.argv[1:], os.environ, [sys.executable, "-Iu", sys.argv[0], "--inside"]))

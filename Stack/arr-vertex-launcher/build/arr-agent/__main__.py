"""What Python runs when it is given this folder: `python3 Stack/arr-vertex-launcher/build/arr-agent ARGUMENT...`"""

import os
import sys

from arr_agent.agent import main

sys.exit(main(sys.argv[1:], os.environ))

import os

# Looking for plugins of pydantic, of which there are none here, takes a tenth of a `plan`.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from arrstack.cli import main

main()

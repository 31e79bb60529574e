#!/usr/bin/env python3
"""installed.py: writes /build/installed.json, the versions that were really installed: what apt chose on the day of the
build, and what pip put there. Each tier that installs something writes it anew."""

import json
import subprocess
from importlib import metadata

told = subprocess.run(["dpkg-query", "-W", "-f", "${Package}\\t${Version}\\n"], check=True, capture_output=True, text=True)
packages = dict(line.split("\t") for line in told.stdout.splitlines())
distributions = {found.name: found.version for found in metadata.distributions()}
with open("/build/installed.json", "w") as file:
    json.dump({"packages": packages, "distributions": distributions}, file, indent=1, sort_keys=True)

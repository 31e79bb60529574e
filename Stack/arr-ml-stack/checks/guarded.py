"""The compiled torch is the one of tier 1, and what is installed is what the lock says."""

import json
import re
import subprocess
import sys
from importlib import metadata

if subprocess.run([sys.executable, "/build/ml-stack/guard.py", "compare", "/build/trio.json"]).returncode:
    sys.exit("the compiled torch is not what tier 1 installed")
locked = dict(re.findall(r"^([\w.-]+)==(\S+)", open("/build/ml-stack/requirements.txt").read(), re.MULTILINE))
if {"torch", "torchvision", "torchaudio"} & set(locked):
    sys.exit("the lock names the trio, which tier 1 compiles")
wrong = [
    f"{name} is {metadata.version(name)}, not {version}" for name, version in locked.items() if metadata.version(name) != version
]
if wrong:
    sys.exit("not as locked: " + "; ".join(wrong))
recorded = json.load(open("/build/installed.json"))
if recorded["distributions"] != {found.name: found.version for found in metadata.distributions()}:
    sys.exit("/build/installed.json is not what is installed")
print(f"{len(locked)} packages as locked; {len(recorded['packages'])} of the distribution in /build/installed.json")

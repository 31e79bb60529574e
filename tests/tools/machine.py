"""Installs what the contract and integration tests need on Debian, as root; says what is missing elsewhere."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from arrstack.engines import Buildah
from arrstack.machine.process import Processes

NEEDED = {
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
    "skopeo": "skopeo",
    "docker-registry": "docker-registry",
    "busybox": "busybox-static",
    "unshare": "util-linux",
    "curl": "curl",
    "htpasswd": "apache2-utils",
    "ip": "iproute2",
}


def main() -> int:
    status = install({package for command, package in NEEDED.items() if not shutil.which(command)})
    with tempfile.TemporaryDirectory() as cache:
        return status or install(set(Buildah(Processes(), Path(cache), True).lacks()))


def install(packages: set[str]) -> int:
    missing = sorted(packages)
    if not missing:
        return 0
    if os.geteuid() or not shutil.which("apt-get"):
        print(f"the tests need {', '.join(missing)}; as root: apt-get install -y {' '.join(missing)}", file=sys.stderr)
        return 5
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]):
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            print(done.stdout[-2000:], file=sys.stderr)
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())

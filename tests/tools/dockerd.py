"""A Docker daemon for tests: trixie's, whatever Debian this is (bookworm's 20.10 lacks named build contexts).

It has no bridge and touches no packet filter, so it starts in plain containers and beside another daemon.
"""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.tools.debian import program, unpacked

PACKAGES = ["containerd", "docker-buildx", "docker-cli", "docker.io", "tini"]
PATIENCE = 60.0


class NoDaemon(Exception):
    """The daemon does not start here; the message is its last word."""


def quick_folder(prefix: str) -> Path:
    """A new folder for an engine's store: in memory where that can be, as stores write with fsync. Its path is short, as
    a socket's has at most 108 bytes."""
    return Path(tempfile.mkdtemp(prefix=prefix, dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else "/var/tmp"))


@contextlib.contextmanager
def dockerd(cache: Path, containerd_store: bool = True) -> Iterator[dict[str, str]]:
    """Starts a daemon with a store of its own and yields the environment that its client needs.

    Raises NoDaemon where the machine does not let it run.
    """
    root = unpacked(PACKAGES, "trixie", cache)
    folder = quick_folder("dockerd-")
    programs, plugins = folder / "bin", folder / "config/cli-plugins"
    for made in (programs, plugins):
        made.mkdir(parents=True)
    # trixie's runc needs trixie's libc; containers run with this machine's own.
    (programs / "runc").symlink_to(program("runc", "runc", cache))
    (plugins / "docker-buildx").symlink_to(root / "usr/libexec/docker/cli-plugins/docker-buildx")
    environment = {
        "PATH": f"{programs}:{root}/usr/bin:{root}/usr/sbin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(folder),
        "DOCKER_HOST": f"unix://{folder}/socket",
        "DOCKER_CONFIG": str(plugins.parent),
    }
    settings = folder / "daemon.json"
    settings.write_text(json.dumps({"features": {"containerd-snapshotter": containerd_store}}))
    # A mount namespace of its own: the daemon leaves mounts behind.
    argv = [
        "setpriv",
        "--pdeathsig",
        "TERM",
        "unshare",
        "--mount",
        "dockerd",
        "--config-file",
        str(settings),
        "--host",
        environment["DOCKER_HOST"],
    ]
    argv += ["--iptables=false", "--ip6tables=false", "--bridge=none"]
    argv += ["--data-root", str(folder / "data"), "--exec-root", str(folder / "exec"), "--pidfile", str(folder / "pid")]
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(argv, env=environment, stdout=log, stderr=log)
    try:
        end = time.monotonic() + PATIENCE
        while subprocess.run(["docker", "version"], env=environment, capture_output=True).returncode:
            if daemon.poll() is not None or time.monotonic() > end:
                raise NoDaemon((folder / "log").read_text(errors="replace").strip().splitlines()[-1])
            time.sleep(0.1)
        yield environment
    finally:
        daemon.terminate()
        daemon.wait(30)
        shutil.rmtree(folder, ignore_errors=True)

"""A Docker daemon for tests: trixie's, whatever Debian this is (bookworm's 20.10 lacks named build contexts).

It has no bridge and touches no packet filter, so it starts in plain containers and beside another daemon. It may be somewhere else: in a network
of its own, where it is reached over TCP alone, with certificates of both sides.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.tools.certificates import authority, signed
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
def dockerd(
    cache: Path, containerd_store: bool = True, around: Sequence[str] = (), flags: Sequence[str] = ()
) -> Iterator[dict[str, str]]:
    """Starts a daemon with a store of its own and yields the environment that its client needs. `around` is a command that it is run by,
    `flags` are further ones of its own.

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
        *around,
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
    argv += ["--iptables=false", "--ip6tables=false", "--bridge=none", *flags]
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


@dataclass(frozen=True)
class Elsewhere:
    """A daemon in another network. `folder` holds ca.crt, client.crt and client.key; `environment` is that of a client there."""

    address: str
    folder: Path
    environment: dict[str, str]


@contextlib.contextmanager
def dockerd_elsewhere(cache: Path, folder: Path) -> Iterator[Elsewhere]:
    """A daemon that this machine's network leads to by one address: its API is at port 2376, BuildKit's at 2377. Raises NoDaemon."""
    name = f"far{os.getpid()}"
    here, there = "10.213.77.1", "10.213.77.2"
    inside = ["ip", "netns", "exec", name]
    certificates = two_sides(folder, there)
    lines = [
        ["ip", "netns", "add", name],
        ["ip", "link", "add", f"{name}h", "type", "veth", "peer", "name", f"{name}n", "netns", name],
        ["ip", "addr", "add", f"{here}/30", "dev", f"{name}h"],
        ["ip", "link", "set", f"{name}h", "up"],
        [*inside, "ip", "addr", "add", f"{there}/30", "dev", f"{name}n"],
        [*inside, "ip", "link", "set", f"{name}n", "up"],
        [*inside, "ip", "link", "set", "lo", "up"],
    ]
    try:
        for line in lines:
            if subprocess.run(line, capture_output=True).returncode:
                raise NoDaemon(f"{' '.join(line)} failed")
        tls = ["--tlsverify", f"--tlscacert={folder}/ca.crt", f"--tlscert={folder}/server.crt", f"--tlskey={folder}/server.key"]
        with dockerd(cache, around=inside, flags=[*tls, "--host", f"tcp://{there}:2376"]) as environment:
            pipe = [*inside, sys.executable, str(Path(__file__).with_name("tls_pipe.py")), there, "2377", str(certificates)]
            served = subprocess.Popen([*pipe, "docker", "buildx", "dial-stdio"], env=environment)
            try:
                yield Elsewhere(there, certificates, environment)
            finally:
                served.terminate()
                served.wait(10)
    finally:
        subprocess.run(["ip", "link", "del", f"{name}h"], capture_output=True)
        subprocess.run(["ip", "netns", "del", name], capture_output=True)


def two_sides(folder: Path, address: str) -> Path:
    """Certificates of a server at an address and of a client, by one authority."""
    issuer = authority(folder, "ca")
    for side, extension in (("server", f"subjectAltName=IP:{address}"), ("client", "extendedKeyUsage=clientAuth")):
        signed(folder, issuer, side, extension)
    return folder

"""Real engines and real registries: the same contract for each of them.

ARRSTACK_TEST_CACHE names a folder for what is downloaded (about 80 MB), kept between runs; else it is fetched each time.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from arrstack.engines import Buildah, Docker, Engine
from arrstack.machine.process import Processes
from arrstack.model import EPOCH, BuildStep
from arrstack.registry import Registry, connect
from tests.contract.layouts import layout
from tests.tools.debian import program, suite_here, unpacked
from tests.tools.dockerd import NoDaemon, dockerd, quick_folder

APPLETS = "cat cp date echo env false head ls mkdir sh sleep stat test touch true yes".split()
BASE = "localhost/arrstack/base:busybox"
HOST_SECRET = "only-the-host-knows"


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = os.environ.get("ARRSTACK_TEST_CACHE")
    own = tmp_path_factory.getbasetemp()
    run = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own  # what all workers of this run share
    folder = Path(named) if named else run / "downloads"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def rootfs(downloads: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest root file system that builds run in: a static busybox, as a tar archive."""
    (busybox,) = unpacked(["busybox-static"], suite_here(), downloads).glob("**/bin/busybox")
    archive = tmp_path_factory.mktemp("rootfs") / "rootfs.tar"
    with tarfile.open(archive, "w") as tar:
        for name in ("bin", "etc", "tmp", "proc", "dev", "sys"):
            tar.addfile(entry(name, type=tarfile.DIRTYPE, mode=0o755))
        data = busybox.read_bytes()
        tar.addfile(entry("bin/busybox", size=len(data), mode=0o755), BytesIO(data))
        for name in APPLETS:
            tar.addfile(entry(f"bin/{name}", type=tarfile.SYMTYPE, linkname="busybox"))
    return archive


def entry(name: str, **fields: Any) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.mtime = EPOCH
    for key, value in fields.items():
        setattr(found, key, value)
    return found


def host_environment(home: Path) -> dict[str, str]:
    """What a person's shell might hold: containers must not see it."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "HOST_SECRET": HOST_SECRET, "HTTP_PROXY": "http://proxy.invalid:1"}


@contextlib.contextmanager
def started(name: str, rootfs: Path, downloads: Path) -> Iterator[Engine]:
    """An engine with BASE in its store: buildah, or docker with its newer or its classic store. Skips where none starts here."""
    folder = quick_folder(f"{name}-")
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        environment = host_environment(folder)
        made: Engine
        if name == "buildah":
            if not shutil.which("buildah"):
                pytest.skip("buildah is not installed")
            made = Buildah(Processes(environment), folder / "cache", os.geteuid() == 0)
        else:
            if os.geteuid():
                pytest.skip("a Docker daemon for tests needs root")
            try:
                daemon = stack.enter_context(dockerd(downloads, containerd_store=name == "docker"))
            except NoDaemon as error:
                pytest.skip(f"no Docker daemon starts here: {error}")
            made = Docker(Processes(environment | daemon), folder / "cache")
        made.version()
        made.import_rootfs(rootfs, BASE)
        yield made


@pytest.fixture(scope="session", params=["buildah", "docker", "docker-classic"])
def engine(request: pytest.FixtureRequest, rootfs: Path, downloads: Path) -> Iterator[Engine]:
    """Every engine that can be started here; Docker with both kinds of store."""
    with started(request.param, rootfs, downloads) as made:
        yield made


@dataclass
class Built:
    """One build: its lines, its log's bytes, the image."""

    reference: str = ""
    lines: list[str] = field(default_factory=list)
    log: BytesIO = field(default_factory=BytesIO)


@dataclass
class Workshop:
    """Builds recipes that a test writes."""

    engine: Engine
    folder: Path
    count: int = 0

    def step(self, dockerfile: str, files: Mapping[str, str] | None = None, **fields: Any) -> BuildStep:
        self.count += 1
        context = self.folder / f"context{self.count}"
        context.mkdir()
        for name, text in (files or {}).items():
            (context / name).write_text(text)
        recipe = context / "Dockerfile"
        recipe.write_text(dockerfile)
        return BuildStep(self.folder.name, context, recipe, **{"args": {"BASE": BASE}} | fields)

    def build(self, step: BuildStep, reference: str = "") -> Built:
        # Names of images in lower case, as the references' grammar has it; one for each test.
        name = reference or f"localhost/arrstack/{self.folder.name.lower().replace('_', '-').strip('-')}:build{self.count}"
        built = Built()
        lines = self.engine.build(step, name, built.log)
        try:
            while True:
                built.lines.append(next(lines))
        except StopIteration as end:
            built.reference = end.value
        return built

    def run(self, reference: str, *argv: str, env: Mapping[str, str] | None = None, **given: Any) -> tuple[int, list[str]]:
        """The program's status and what it printed.

        Of a program that ends at once dockerd 26 sometimes loses all output ("reading from a closed fifo" in its log: 2 of
        1,726 runs of `echo`, none of 1,514 that lived 0.1 s longer). buildah's chroot isolation does on a busy machine: its process
        ends without waiting for the thread that hands the output on. So what told nothing runs again, thrice at most.
        """
        for _ in range(3):
            lines = self.engine.run(reference, argv, env or {}, given.get("mounts") or {}, given.get("certificates"))
            told: list[str] = []
            try:
                while True:
                    told.append(next(lines))
            except StopIteration as end:
                status = int(end.value)
            if told:
                break
        return status, told


@pytest.fixture
def workshop(engine: Engine, tmp_path: Path) -> Workshop:
    return Workshop(engine, tmp_path)


def processes_with(word: str) -> list[str]:
    """The command lines of running processes that hold a word; those of containers too."""
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it may end at any moment
            line = Path("/proc", number, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if word in line and int(number) != os.getpid():
                found.append(line)
    return found


def eventually(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@contextlib.contextmanager
def serving(folder: Path, downloads: Path, settings: str = "") -> Iterator[str]:
    """A real OCI distribution server that keeps its data in `folder`: its HOST:PORT. `settings` are further lines of its file."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = folder / "config.yml"
    config.write_text(
        f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {folder}/data\n  delete:\n    enabled: true\n"
        f"http:\n  addr: {address}\n{settings}"
    )
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [program("docker-registry", "docker-registry", downloads), "serve", str(config)], stdout=log, stderr=log
        )
    host, _, port = address.partition(":")

    def answers() -> bool:
        with socket.socket() as connection:
            return connection.connect_ex((host, int(port))) == 0

    try:
        assert eventually(answers), (folder / "log").read_text()
        yield address
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(scope="session")
def registry_server(downloads: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real OCI distribution server, with deletion: its HOST:PORT."""
    with serving(tmp_path_factory.mktemp("distribution"), downloads) as address:
        yield address


@pytest.fixture(params=["directory", "server"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    if request.param == "directory":
        return connect(f"oci:{tmp_path}/registry", {})
    return connect(f"{request.getfixturevalue('registry_server')}/{uuid.uuid4().hex}", {"HOME": str(tmp_path)})


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return layout(tmp_path / "one", "one")


@pytest.fixture
def two(tmp_path: Path) -> Path:
    return layout(tmp_path / "two", "two")

"""`launch --engine cloudbuild` from nothing to tags: real clients, real workers that run what was submitted, a real registry behind
Artifact Registry's name and login.

The stack is as small as can be: a wheel and an image on busybox, and a tier on that. Its cloudbuild.yaml are those of the real stack.
"""

import contextlib
import gzip
import json
import os
import pty
import runpy
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
import uuid
import venv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.cloud.devtools.cloudbuild_v1.types import Build

from arrstack.engines import Buildah
from arrstack.gcp.names import Names
from arrstack.launch.recorder import KIND
from arrstack.machine.process import Processes
from arrstack.recipes.places import Cloud
from arrstack.registry import connect
from tests.conftest import ROOT
from tests.contract.conftest import BASE, eventually, processes_with
from tests.fakes.google.artifacts import Artifacts
from tests.fakes.google.builds import WORKER_IMAGE
from tests.fakes.google.cloud import GoogleCloud, google_cloud
from tests.fakes.google.server import private_key
from tests.fakes.google.tls import tls_proxy

SECRET = "a-secret-of-this-machine"
TIERS = {"tiny-base": ["words", "image", "tag"], "tiny-app": ["image", "tag"]}
STACK = """default-profile = "tiny"

[[tiers]]
name = "tiny-base"
recipe = "tiny-base"
context = "tiny-base"

  [[tiers.wheels]]
  name = "words"
  stage = "words-wheel"
  distribution = "words"
  version-arg = "WORDS_VERSION"
  key-arg = "WORDS_KEY"
  milestones = [50, 100]

[[tiers]]
name = "tiny-app"
from = "tiny-base"
recipe = "tiny-app"
context = "tiny-app"

[profiles.tiny]
description = "busybox"

  [profiles.tiny.bases]
  BASE_RUNTIME = {{ method = "pull", image = "{registry}/busybox:1" }}

  [profiles.tiny.archive]
  suite = "trixie"
  date = "2026-11-24"

  [profiles.tiny.args]
  WORDS_VERSION = "1.0"

[cloud]
region = "europe-west4"
persistent = ["tiny-base", "compiler-cache"]
"""
REPOSITORIES = ("arr-coc-registry", "arr-coc-registry-persistent")
FILES = {
    "tiny-base/Dockerfile": """ARG BASE_RUNTIME
FROM ${BASE_RUNTIME} AS words-builder
ARG WORDS_VERSION
ARG WORDS_KEY=by-hand
COPY words.txt /words
RUN --mount=type=cache,id=arrstack-ccache,target=/ccache mkdir -p /ccache/0/1 && if test -e /ccache/0/1/aaaaaaaaaaaaaaaaaaaaaaaR; \\
    then echo "ARRSTACK cache: 1 hits of 1"; else cp /words /ccache/0/1/aaaaaaaaaaaaaaaaaaaaaaaR; echo "ARRSTACK cache: 0 hits of 1"; test "$(cat /words)" != slow || sleep 99; fi; \\
    echo "CHONK: [50%] Half"; echo "[1/1] words.o"
FROM scratch AS words-wheel
COPY --from=words-builder /words /words
FROM ${BASE_RUNTIME}
COPY --from=words-wheel / /opt/
COPY image.txt /image
COPY bash /bin/bash
CMD ["cat", "/image"]
""",
    "tiny-base/bash": '#!/bin/sh\nexec /bin/sh "$@"\n',
    "tiny-base/words.txt": "words\n",
    "tiny-base/image.txt": "the image\n",
    "tiny-app/Dockerfile": 'ARG BASE=tiny-base\nFROM ${BASE}\nCOPY app.txt /app\nCMD ["cat", "/app"]\n',
    "tiny-app/app.txt": "the app\n",
    "tiny-app/checks/app.sh": "true\n",
    ".env": f"TOKEN={SECRET}\n",
    ".gcloudignore": "/*\n!/CLI\n!/Stack\n!/src\n!/tiny-base\n!/tiny-app\n!/requirements.lock\n"
    "!/stack.toml\n__pycache__\n*.pyc\n",
}


@dataclass(frozen=True)
class Project:
    """A project, the cloud that builds it, and who launches it."""

    tree: Path
    home: Path
    cloud: GoogleCloud
    environment: Mapping[str, str]
    lines: set[str] = field(default_factory=set)
    """The command lines that were seen meanwhile."""

    def command(self, who: str, *words: str) -> tuple[list[str], dict[str, str]]:
        folders = {f"XDG_{kind}_HOME": str(self.home / who / kind.lower()) for kind in ("CACHE", "STATE", "DATA")}
        return [sys.executable, "-m", "arrstack", "--stack", str(self.tree / "stack.toml"), *words], {
            **self.environment,
            **folders,
        }

    def run(self, *words: str, who: str = "ann") -> "subprocess.CompletedProcess[str]":
        command, environment = self.command(who, *words)
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)

    def ok(self, *words: str, who: str = "ann") -> str:
        done = self.run(*words, who=who)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, who: str, *words: str) -> "subprocess.Popen[str]":
        command, environment = self.command(who, *words)
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def write(self, name: str, text: str) -> None:
        path = self.tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def actions(self) -> list[str]:
        return [tier["action"] for tier in json.loads(self.ok("plan", "--json"))["tiers"]]

    def log(self, number: int = 0) -> str:
        """What a build's steps said until now; nothing of one that is not there yet."""
        return "".join(each.log.getvalue().decode() for each in list(self.cloud.builds.workers.values())[number : number + 1])

    def built(self) -> list[str]:
        """The parts of all builds, in order."""
        return [f"{build.steps[1].args[1]} {build.steps[1].args[2]}" for build in self.cloud.builds.builds.values()]


@pytest.fixture(scope="module")
def busybox(registry_server: str, rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The base image, in the registry."""
    if not shutil.which("buildah"):
        pytest.skip("buildah is not installed")
    engine = Buildah(Processes(), tmp_path_factory.mktemp("engine"), os.geteuid() == 0)
    engine.version()
    engine.push(engine.import_rootfs(rootfs, BASE), f"docker://{registry_server}/busybox:1", True)


@pytest.fixture
def project(busybox: None, registry_server: str, tmp_path: Path) -> Iterator[Project]:
    """Its images go to a registry without a login."""
    with set_up(registry_server, tmp_path) as made:
        registry = f"{registry_server}/{uuid.uuid4().hex}"
        yield replace(made, environment={**made.environment, "ARRSTACK_REGISTRY": registry})


@pytest.fixture
def google_project(busybox: None, registry_server: str, tmp_path: Path) -> Iterator[Project]:
    """Its images go to Artifact Registry, by Google's own host name, with a login in every process."""
    with set_up(registry_server, tmp_path) as made, tls_proxy(made.cloud.google.address, tmp_path) as proxy:
        name = made.environment["ARRSTACK_PROJECT"]
        way = Artifacts(made.cloud.google, registry_server, {f"{name}/{each}" for each in REPOSITORIES}).environment(proxy)
        login = {"GOOGLE_APPLICATION_CREDENTIALS": made.environment["GOOGLE_APPLICATION_CREDENTIALS"]}
        made.cloud.builds.environment = {**made.cloud.builds.environment, **login, **way}
        with command_lines() as lines:
            yield replace(made, environment={**made.environment, **way}, lines=lines)


@contextlib.contextmanager
def command_lines() -> Iterator[set[str]]:
    """The command lines of all processes that run meanwhile, seen four times a second."""
    seen, ended = set[str](), threading.Event()

    def look() -> None:
        while not ended.wait(0.25):
            seen.update(processes_with(""))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def set_up(registry_server: str, folder: Path) -> Iterator[Project]:
    tree = folder / "tree"
    for name in ("CLI", "src", "Stack/cloud-build"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "requirements.lock", tree)
    insecure = folder / "registries.conf"
    insecure.write_text(f'[[registry]]\nlocation = "{registry_server}"\ninsecure = true\n')
    with google_cloud(folder, {"CONTAINERS_REGISTRIES_CONF": str(insecure)}) as cloud:
        cloud.builds.prepare = environment_of
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ARRSTACK_")} | dict(cloud.environment)
        named = {"ARRSTACK_ENGINE": "cloudbuild", "ARRSTACK_PROJECT": f"p-{uuid.uuid4().hex[:12]}"}
        made = Project(tree, folder, cloud, environment | named | {"SECRET_OF_THE_HOST": SECRET})
        made.write("stack.toml", STACK.format(registry=registry_server))
        for name, text in FILES.items():
            made.write(name, text)
        (tree / "tiny-base/bash").chmod(0o755)
        base = yaml.safe_load((ROOT / "Stack/arr-pytorch-base/cloudbuild.yaml").read_text())
        for tier, parts in TIERS.items():
            made.write(f"{tier}/cloudbuild.yaml", yaml.safe_dump(of_tier(base, tier, parts)))
        yield made


def environment_of(worker: Path) -> None:
    """The product's environment in a worker's folder, where CLI/cli.py looks for it: this one's packages, the uploaded product."""
    entry = runpy.run_path(str(worker / "CLI/cli.py"))
    folder = Path(entry["place"](str(worker / "requirements.lock")))
    venv.create(folder, symlinks=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    (packages / "product.pth").write_text(f"{worker}/src\n{sysconfig.get_path('purelib')}\n")
    (folder / entry["STAMP"]).write_text("")


def of_tier(base: dict[str, object], tier: str, parts: list[str]) -> dict[str, object]:
    """The real bottom tier's file, for another tier with these parts."""
    worker, part, *_ = json.loads(json.dumps(base["steps"]))
    steps = [{**part, "id": name, "args": [part["args"][0], tier, name]} for name in parts]
    return {**base, "steps": [worker, *steps], "tags": ["arrstack", tier]}


def test_a_stack_is_built_from_nothing_then_nothing_then_what_changed(google_project: Project) -> None:
    project = google_project
    told = project.ok("launch", "-v")
    assert project.built() == ["tiny-base words", "tiny-base image", "tiny-app image"]
    assert project.actions() == ["reuse", "reuse"]
    assert "tiny-base/words: CHONK: [50%] Half" in told
    assert "tiny-base/words: [1/1] words.o" in told
    assert "tiny-app: published" in told

    assert "nothing to build" in project.ok("launch")
    assert len(project.built()) == 3

    project.write("tiny-app/app.txt", "another app\n")
    project.ok("launch")
    assert project.built()[3:] == ["tiny-app image"]
    assert project.ok("run", "tiny-app") == "another app\n"

    project.write("tiny-base/words.txt", "other words\n")
    told = project.ok("launch", "tiny-base", "-v", "--json")
    assert project.built()[4:] == ["tiny-base words", "tiny-base image"]
    assert "ARRSTACK cache: 1 hits of 1" in told, "the compiler cache came from the registry to an empty machine"
    kept = record_of(project, "words-wheel-")
    assert (kept["machine"], kept["builder"], kept["cache_hits"], kept["cache_objects"]) == (
        "c3-standard-176",
        WORKER_IMAGE,
        1,
        1,
    )
    assert kept["peak_memory_bytes"] > 0 and kept["minutes"] > 0
    assert not secrets_seen(project, told)


def record_of(project: Project, beginning: str) -> dict[str, Any]:
    """The record of the newest build of tiny-base whose tag begins so, from Artifact Registry."""
    names = Names.of(Cloud(region="europe-west4"), project.environment["ARRSTACK_PROJECT"], "", {})
    registry = connect(names.prefix("arr-coc-registry-persistent"), project.environment)
    images = [registry.lookup("tiny-base", tag).image for tag in registry.tags("tiny-base") if tag.startswith(beginning)]
    kept = [each for image in images if image for each in registry.attached("tiny-base", image.digest, KIND)]
    assert len(kept) == 2
    records: list[dict[str, Any]] = [json.loads(each.data) for each in kept]
    return max(records, key=lambda record: record["built"])


def secrets_seen(project: Project, told: str) -> list[str]:
    """Secrets of who launches, and of the project's folder, in what is told, sent, logged, kept or given to a program: images' configs and manifests come to the
    registry by the same server."""
    lines = list(project.lines)
    assert any("skopeo copy" in line for line in lines)
    texts = [told, *lines, *project.cloud.google.seen, *(str(build) for build in project.cloud.builds.builds.values())]
    texts += [request.body.decode(errors="replace") for request in project.cloud.google.requests if request.path != "/token"]
    texts += [path.read_text(errors="replace") for path in project.home.rglob("*.log")]
    bucket = f"{project.environment['ARRSTACK_PROJECT']}-arrstack-staging"
    sources = [project.cloud.storage.get(bucket, name) for name in project.cloud.storage.names(bucket) if name.endswith(".gz")]
    texts += [gzip.decompress(data or b"").decode(errors="replace") for data in sources]
    tokens = [token for token in project.cloud.google.shown if token]
    assert tokens
    return [secret for secret in (SECRET, private_key().splitlines()[1], *tokens) if any(secret in text for text in texts)]


def test_what_a_killed_launch_began_two_others_follow_and_each_step_is_built_once(project: Project) -> None:
    project.cloud.builds.queue_seconds = 5.0
    first = project.start("ann", "launch")
    assert eventually(lambda: len(project.built()) == 1, 60)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=10)
    launches = [project.start(who, "launch") for who in ("ann", "bob")]
    assert project.cloud.builds.running()
    project.cloud.builds.queue_seconds = 0.0
    for launch in launches:
        output, _ = launch.communicate(timeout=200)
        assert launch.returncode == 0, output
    assert project.built() == ["tiny-base words", "tiny-base image", "tiny-app image"]


def test_after_a_lost_machine_and_a_failed_check_a_launch_goes_on_from_what_is_proved(project: Project) -> None:
    workers = {**project.cloud.builds.environment, "KEEP_SECONDS": "1"}
    project.cloud.builds.environment = workers
    project.write("tiny-base/words.txt", "slow")
    launch = project.start("ann", "launch")
    assert eventually(lambda: "1 entries" in project.log(), 60), "the compiler cache was kept while the wheel was compiled"
    project.cloud.builds.stop(project.cloud.builds.running()[0].id, Build.Status.INTERNAL_ERROR)
    lost, _ = launch.communicate(timeout=60)
    assert launch.returncode == 1
    assert "was lost" in lost
    assert "launch again" in lost

    project.write("tiny-app/checks/app.sh", "echo the app is wrong; exit 1\n")
    wrong = project.run("launch")
    assert wrong.returncode == 4
    assert "the app is wrong" in wrong.stderr
    assert "ARRSTACK cache: 1 hits of 1" in project.log(1), "what the lost machine had compiled is not compiled again"
    assert project.built() == ["tiny-base words", "tiny-base words", "tiny-base image", "tiny-app image"]
    assert project.actions() == ["reuse", "rebuild"]


def test_ctrl_c_asks_on_the_terminal_and_a_yes_cancels_the_build(project: Project) -> None:
    project.write("tiny-base/words.txt", "slow")
    command, environment = project.command("ann", "launch")
    master, terminal = pty.openpty()
    launch = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *command], env=environment, stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    seen = Terminal(master)
    assert eventually(lambda: "0 hits" in project.log(), 60), seen.text
    os.write(master, b"\x03")
    (build,) = project.cloud.builds.running()
    assert eventually(lambda: f"Cancel build {build.id}" in seen.text and "[y/N]" in seen.text, 30), seen.text
    os.write(master, b"y\n")
    assert launch.wait(30) == 130
    assert build.status == Build.Status.CANCELLED


class Terminal:
    """What a program writes to a terminal, read as it comes: one that nobody reads would stop it."""

    def __init__(self, master: int):
        self.text = ""
        threading.Thread(target=self._read, args=(master,), daemon=True).start()

    def _read(self, master: int) -> None:
        with contextlib.suppress(OSError):  # the program has ended
            while data := os.read(master, 4096):
                self.text += data.decode(errors="replace")


def test_no_network_is_told_while_it_is_waited_for(project: Project) -> None:
    project.ok("plan")
    project.cloud.google.__exit__()
    launch = project.start("ann", "launch")
    assert launch.stdout is not None
    began = time.monotonic()
    assert any("trying again" in line for line in launch.stdout)
    assert time.monotonic() - began < 30
    launch.kill()
    launch.wait(10)
